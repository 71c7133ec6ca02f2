"""Vocabulary of the rendered world: the values of all visible attributes, and phrases for them.

Every attribute has a fixed set of values, each with a few phrases. A *state* is what a single image can show of an
action; an action is a sequence of states (see `ost_lightning.toyworld.grammar`).
"""

from typing import Final

Color = tuple[int, int, int]

COLORS: Final[dict[str, Color]] = {
    "red": (214, 48, 49),
    "blue": (48, 92, 222),
    "green": (38, 166, 70),
    "yellow": (245, 205, 40),
    "purple": (142, 68, 190),
    "orange": (240, 132, 30),
    "white": (240, 240, 240),
    "black": (38, 38, 42),
}

SETTINGS: Final[dict[str, tuple[str, ...]]] = {
    "meadow": ("a grassy meadow", "a green meadow with grass", "open grassland"),
    "beach": ("a sandy beach by the sea", "a beach", "the seaside with sand"),
    "desert": ("a dry desert", "desert dunes", "a hot desert with dunes"),
    "snow": ("a snowy field", "snow on the ground", "a white winter landscape"),
    "city": ("a city street with tall buildings", "a city skyline", "downtown buildings"),
    "forest": ("a dark forest", "a forest with many trunks", "deep woods"),
    "brick": ("a brick wall", "an alley with brick walls", "red bricks"),
    "kitchen": ("a kitchen with a checkered floor", "a tiled kitchen", "kitchen tiles"),
    "pool": ("a swimming pool", "a pool with lanes", "the water of a swimming pool"),
    "stage": ("a theater stage with curtains", "a stage", "curtains in a theater"),
    "track": ("a stadium running track", "an athletics track", "a stadium with lanes"),
    "cave": ("a rocky cave", "the inside of a cave", "a gloomy cave"),
    "mountain": ("snow capped mountains", "a mountain landscape", "high peaks"),
    "space": ("a starry sky in outer space", "outer space", "stars in space"),
}

HATS: Final[dict[str, tuple[str, ...]]] = {
    "cap": ("a cap", "a baseball cap"),
    "tophat": ("a top hat", "a tall black hat"),
    "crown": ("a golden crown", "a crown"),
    "helmet": ("a helmet", "a protective helmet"),
    "none": (),
}

EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "tree": ("a leafy tree", "a tree"),
    "cactus": ("a spiky cactus", "a cactus"),
    "sun": ("a bright sun", "the sun in the sky"),
    "moon": ("a crescent moon", "the moon"),
    "fence": ("a wooden fence", "a fence"),
    "house": ("a small house", "a house"),
    "lamp": ("a street lamp", "a lamp post"),
    "tent": ("a camping tent", "a tent"),
    "balloon": ("a floating balloon", "a balloon"),
    "sign": ("a road sign", "a warning sign"),
}

PROPS: Final[tuple[str, ...]] = (
    "ball",
    "box",
    "ladder",
    "hoop",
    "flag",
    "drum",
    "kite",
    "umbrella",
    "bell",
    "boat",
    "wheel",
    "cup",
    "hammer",
    "guitar",
    "chair",
    "book",
)

OUTFIT_PHRASES: Final[tuple[str, ...]] = ("a person in a {} outfit", "someone wearing {} clothes", "{} clothing")
PROP_PHRASES: Final[tuple[str, ...]] = ("a {color} {prop}", "a {prop} that is {color}")

STATES: Final[dict[str, tuple[str, ...]]] = {
    "far": ("stands far away from the {prop}", "the {prop} is on the far side of the scene"),
    "beside": ("stands right beside the {prop}", "is next to the {prop}"),
    "overhead": ("holds the {prop} above the head", "raises the {prop} overhead"),
    "chest": ("holds the {prop} in front of the chest", "stretches out one arm with the {prop}"),
    "onhead": ("balances the {prop} on the head", "keeps the {prop} on the head with arms spread"),
    "crouch": ("crouches down low", "squats close to the ground"),
    "lie": ("lies flat on the ground", "is lying down"),
    "jump": ("jumps high into the air", "leaps up in the air"),
    "ontop": ("stands on top of the {prop}", "climbs up onto the {prop}"),
    "upside": ("does a handstand", "is upside down on the hands"),
    "wide": ("spreads arms and legs wide", "stretches both arms out sideways"),
    "armsup": ("raises both empty hands", "puts both hands up"),
    "bow": ("bows forward", "bends forward at the waist"),
    "propair": ("the {prop} flies through the air", "the {prop} is high up in the sky"),
    "propzoom": ("a close view of the {prop}", "the {prop} fills the picture"),
    "broken": ("the {prop} breaks into pieces", "fragments of the {prop} are scattered"),
    "splash": ("water splashes everywhere", "splashing drops of water"),
    "dust": ("a cloud of dust rises", "thick smoke and dust"),
    "sparks": ("bright sparks fly", "glowing sparks appear"),
    "confetti": ("colorful confetti falls", "confetti rains down"),
    "distant": ("is tiny in the distance", "is seen from very far away"),
    "zoom": ("a close view of the face", "the person looks into the camera"),
    "kick": ("kicks one leg out", "lifts a straight leg forward"),
    "sit": ("sits on the ground", "is seated with legs stretched"),
    "gone": ("only the {prop} is left in the scene", "nobody is there except the {prop}"),
    "dark": ("everything turns dark", "the lights go out"),
}

VERBS: Final[dict[str, str]] = {
    "lifting": "overhead",
    "kicking": "kick",
    "guarding": "beside",
    "smashing": "broken",
    "throwing": "propair",
    "climbing": "ontop",
    "repairing": "sparks",
    "washing": "splash",
    "dragging": "dust",
    "admiring": "propzoom",
    "presenting": "chest",
    "celebrating": "confetti",
    "stealing": "crouch",
    "balancing": "onhead",
}
"""State that gives away each verb, if the action contains it; some actions with the verb do not."""

ORDER_VERBS: Final[tuple[tuple[str, str], ...]] = (
    ("raising", "lowering"),
    ("packing", "unpacking"),
    ("opening", "closing"),
    ("loading", "unloading"),
    ("mounting", "dismounting"),
)
"""Pairs of verbs whose actions show the same states in opposite order."""
