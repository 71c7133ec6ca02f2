"""Languages of descriptors."""

import re
from typing import Final

from ost_lightning.errors import UserError

_NAMES: Final = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "ms": "Malay",
    "nb": "Norwegian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""ISO 639-1 code -> English name."""


def language_name(language: str) -> str:
    """Returns the English name of a language, for prompts.

    Args:
        language: ISO 639-1 code (`de`), or the English name of any language (`Basque`).

    Raises:
        UserError: If it is an unknown code.
    """
    if language in _NAMES:
        return _NAMES[language]
    if not re.fullmatch(r"[A-Z][A-Za-z]+(?:[ -][A-Za-z]+)*", language):
        raise UserError(
            f"There is no language '{language}'. Expected an English name such as Basque, or one of the codes "
            f"{', '.join(_NAMES)}."
        )
    return language
