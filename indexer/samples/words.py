"""The vocabulary of the captions: nouns, what things do, and phrases for settings, sides and details."""

from __future__ import annotations

Phrases = tuple[str, ...]

NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}

NOUNS: dict[str, Phrases] = {
    "mountains": ("mountains", "mountain peaks"),
    "hills": ("hills", "rolling hills"),
    "desert": ("desert", "desert landscape"),
    "forest": ("forest", "woods"),
    "fields": ("fields", "farm fields"),
    "umbrella": ("umbrella",),
    "tent": ("tent", "camping tent"),
    "boat": ("boat", "fishing boat"),
    "ship": ("ship", "steamship"),
    "house": ("house", "cottage"),
    "hut": ("house", "beach house"),
    "tower": ("tower", "clock tower"),
    "skyline": ("skyline", "city skyline"),
    "truck": ("truck", "delivery truck"),
    "train": ("train", "steam train"),
    "bicycle": ("bicycle", "bike"),
    "balloon": ("balloon", "hot air balloon"),
    "plane": ("plane", "airplane"),
    "bird": ("bird", "songbird"),
    "rabbit": ("rabbit", "bunny"),
    "vase": ("flowers",),
    "cup": ("cup", "coffee cup"),
    "beach umbrella": ("beach umbrella", "parasol"),
    "ice cream": ("ice cream", "ice cream sundae"),
    "fruit bowl": ("fruit bowl", "bowl of fruit"),
    "lamp": ("lamp", "table lamp"),
    "clock": ("clock", "wall clock"),
    "key": ("key", "door key"),
}
"""Every subject's names; a subject that is not here goes by its own."""

PLURALS = {
    "fish": "fish",
    "sheep": "sheep",
    "cactus": "cacti",
    "bunny": "bunnies",
}

MASSES = frozenset({"mountains", "hills", "fields", "vase"})
"""Subjects that take no article."""

DOINGS: dict[str, Phrases] = {
    "boat": ("drifting on the sea", "floating on the water", "out at sea"),
    "sailboat": ("sailing on the sea", "gliding over the water", "out at sea"),
    "ship": ("crossing the ocean", "steaming across the sea", "out at sea"),
    "lighthouse": ("standing by the sea", "on the rocks", "above the waves"),
    "hut": ("on a little island", "on an island with palm trees", "between palm trees"),
    "houses": ("in a row", "along the street", "side by side"),
    "tower": ("over the town", "rising above the town"),
    "bridge": ("across the river", "over the water"),
    "windmill": ("in the countryside", "turning in a field"),
    "skyline": ("by the river", "above the water"),
    "house": ("in a meadow", "in the countryside"),
    "barn": ("on a farm", "in the countryside"),
    "tent": ("in a meadow", "out in the open"),
    "umbrella": ("", "in a meadow"),
    "car": ("on the road", "driving along"),
    "bus": ("on the road", "driving along"),
    "truck": ("on the road", "driving along"),
    "train": ("on the tracks", "steaming along"),
    "bicycle": ("on the road", "by the road"),
    "balloon": ("floating in the sky", "in the air"),
    "plane": ("flying in the sky", "in the air"),
    "cat": ("sitting", ""),
    "dog": ("standing", ""),
    "bird": ("on a branch", "perched on a branch"),
    "fish": ("swimming", ""),
    "sheep": ("standing", ""),
    "cow": ("standing", ""),
    "horse": ("standing", ""),
    "rabbit": ("sitting", ""),
    "duck": ("swimming on a pond", "on the water", "floating on a pond"),
    "tree": ("in a field", "in front of the mountains", ""),
    "tulip": ("in a garden", "by a white fence"),
    "sunflower": ("in a garden", "by a white fence"),
    "cactus": ("in the desert", "in the sand"),
    "vase": ("in a vase", "arranged in a vase"),
    "beach umbrella": ("on the beach", "in the sand", "by the sea"),
    "kite": ("flying in the sky", "high in the air", "over the grass"),
    "key": ("hanging on the wall", "on a wooden rack"),
    "book": ("lying on a table", "on a wooden table"),
    "lamp": ("shining on a table", "on a table"),
    "clock": ("hanging on the wall", ""),
}

SETTINGS: dict[str, Phrases] = {
    "day": ("on a sunny day", "in daylight", "under a blue sky", "on a clear day"),
    "dawn": ("at dawn", "at sunrise", "early in the morning", "under a pale pink sky at dawn"),
    "sunset": ("at sunset", "as the sun sets", "under an orange sunset sky", "in the glow of sunset"),
    "night": ("at night", "under the stars", "on a dark night", "in the moonlight"),
    "rain": ("in the rain", "on a rainy day", "while it rains"),
    "snow": ("in the snow", "on a snowy day", "in winter snow"),
    "fog": ("in the fog", "on a foggy day", "in thick fog"),
    "storm": ("in a storm", "in a thunderstorm with lightning", "as lightning strikes"),
    "rainbow": ("under a rainbow", "with a rainbow in the sky"),
    "meadow": ("in a green meadow", "on the grass in summer"),
    "beach": ("on the beach", "by the sea on the sand"),
    "autumn": ("among autumn leaves", "in autumn", "with fall colors all around"),
    "sea": ("in the blue sea", "under water in the sea"),
    "reef": ("on a coral reef", "among the corals"),
    "bowl": ("in a glass bowl", "in a round fish bowl"),
    "deep": ("in the dark deep sea", "in deep dark water"),
    "wooden table": ("on a wooden table", "on bare wooden boards"),
    "blue tablecloth": ("on a blue tablecloth", "on a table with a blue cloth"),
    "checked tablecloth": ("on a checked tablecloth", "on a red checked cloth"),
    "window": ("by the window", "on a table in front of a window"),
    "picnic": ("on a picnic blanket", "at a picnic in the grass"),
    "yellow wall": ("against a yellow wall", "in a yellow room"),
    "green wall": ("against a green wall", "in a green room"),
    "pink wall": ("against a pink wall", "in a pink room"),
    "blue wall": ("against a blue wall", "in a blue room"),
    "dark room": ("in a dark room", "in a dim, dark room"),
}

AWAY: dict[str, Phrases] = {
    "mountains": ("in the mountains", "with mountains behind"),
    "city": ("in the city", "with city buildings behind"),
    "sea": ("by the sea", "on the coast"),
    "country": ("in the country", "with hills behind"),
}

DETAILS: dict[str, Phrases] = {
    "birds": ("with birds overhead", "with birds in the sky", "and birds flying above"),
    "lighthouse": ("with a lighthouse behind", "near a lighthouse"),
    "island": ("near a small island", "with an island behind"),
    "cottage": ("with a cottage", "and a little cottage"),
    "road": ("with a winding road", "and a road winding away"),
    "tree": ("beside a tree", "next to a tree"),
    "fence": ("with a white fence", "and a white fence"),
    "dog": ("with a dog", "and a dog"),
    "boat": ("with a rowing boat", "and a small rowing boat below"),
    "tulips": ("with tulips in front", "behind rows of tulips"),
}

SIDES: dict[str, Phrases] = {
    "left": ("on the left", "on the left side", "to the left"),
    "right": ("on the right", "on the right side", "to the right"),
    "center": ("in the middle", "in the center"),
}

PATTERNS: dict[str, tuple[str, str]] = {
    "stripes": ("stripes", "striped"),
    "dots": ("dots", "dotted"),
    "checks": ("checks", "checked"),
    "waves": ("wavy lines", "wavy"),
    "mosaic": ("mosaic tiles", "mosaic"),
    "stars": ("stars", "starry"),
    "zigzags": ("zigzags", "zigzag"),
}
