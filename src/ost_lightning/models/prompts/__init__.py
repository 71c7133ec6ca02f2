"""Learned prompts: vectors that join the tokens of a frozen encoder, and the `VideoCLIP` that trains them."""

from ost_lightning.models.prompts.affix_prompts import AffixPrompts
from ost_lightning.models.prompts.base import TextPrompts, VisionPrompts
from ost_lightning.models.prompts.class_contexts import ClassContexts
from ost_lightning.models.prompts.prompted_video_clip import PromptedVideoCLIP
from ost_lightning.models.prompts.video_prompts import VideoPrompts

__all__ = ["AffixPrompts", "ClassContexts", "PromptedVideoCLIP", "TextPrompts", "VideoPrompts", "VisionPrompts"]
