"""The stories themselves: who is in them, what can happen, and in which words.

A child wants something. Something is in the way, an animal helps, and all ends well. Each sentence stands
on a line of its own and ends in a full stop, an exclamation or a question mark, perhaps with a quotation
mark after it. For the notation see `grammar`.
"""

from course_lib.corpora.tinytales.grammar import Grammar

GIRLS = "Anna Bella Clara Daisy Ella Flora Grace Holly Iris Lucy Mia Rosa"
BOYS = "Adam Ben Carl David Felix Hugo Jack Leo Max Noah Oscar Tom"

BOUND = {
    "hero": [
        ("name", "he", "him", "his", "child"),
        *((name, "she", "her", "her", "girl") for name in GIRLS.split()),
        *((name, "he", "him", "his", "boy") for name in BOYS.split()),
    ],
    "home": [
        ("at",),
        ("by the sea",),
        ("in the forest",),
        ("on a hill",),
        ("near the river",),
        ("in a small town",),
        ("on an island",),
        ("behind the mill",),
        ("beside a lake",),
        ("under a cliff",),
        ("at the harbor",),
    ],
    "thing": [
        ("name",),
        *((name,) for name in "kite drum boat lamp whistle map cloak bell ring flute".split()),
        *((name,) for name in "puppet sled ball book basket mirror hat violin globe umbrella".split()),
    ],
    "barn": [
        ("name",),
        *((name,) for name in "barn cellar chest tower attic cupboard cabin vault stable trunk cave castle".split()),
    ],
    "shut": [
        ("how",),
        *((how,) for how in "locked shut stuck frozen jammed blocked bolted sealed closed barred".split()),
    ],
    "animal": [
        ("name",),
        *((name,) for name in "fox owl bear frog goat duck crow mouse".split()),
        *((name,) for name in "rabbit turtle badger otter squirrel donkey hedgehog pony".split()),
    ],
}

FREE = {
    "kind": "brave clever quiet cheerful curious gentle shy stubborn honest lively patient playful hopeful kind",
    "family": "mother father sister brother grandmother grandfather aunt uncle cousin neighbor teacher friend",
    "look": "red blue green yellow silver purple white shiny tiny wooden pretty lovely old new painted round",
    "weather": "sunny windy rainy foggy snowy cloudy stormy misty frosty bright",
    "feel": "cold warm cool calm long dark mild silent",
    "time": "morning evening afternoon day night week summer autumn winter spring",
    "number": "two three four five six seven eight nine ten twelve",
    "span": "minutes hours days nights weeks months",
    "sad": "sad lonely angry worried scared tearful gloomy unhappy nervous upset sorry afraid",
    "weary": "wet hungry thirsty sleepy weak sore dizzy tired",
    "wept": "cried sighed wept waited listened hoped slept rested shivered hummed",
    "spot": "stone log bush tree barrel cart bench haystack hedge rock fence bridge",
    "moved": "ran walked hopped crept came marched hurried wandered jumped climbed",
    "spoke": "said cried whispered called answered replied sighed shouted",
    "manner": "softly loudly kindly slowly quickly gently shyly bravely gladly quietly calmly wisely",
    "opened": "opened unlocked forced cleared reached entered searched mended",
    "food": "nuts apples berries pears plums cakes carrots cherries pancakes cookies beans muffins grapes peaches",
    "joy": "laughed cheered sang danced smiled clapped whistled played",
    "glad": "happy proud merry thankful glad delighted pleased joyful cozy safe",
}

SCENES = [
    (1.0, [
        "{hero} was {kind.a} {hero.child}.",
        "Once there was {kind.a} {hero.child}, {hero}.",
        "{kind.A} {hero.child}, {hero}, lived here once.",
    ]),
    (1.0, [
        "{hero.He} lived {home} with {kind.a} {family}.",
        "{hero.His} {look} house stood {home}.",
        "{home.At} stood {hero.his} {look} house.",
    ]),
    (0.5, [
        "It was {weather.a}, {feel} {time}.",
        "The {time} was {weather} and {feel}.",
    ]),
    (1.0, [
        "{hero} wanted {look.a} {thing}.",
        "{hero.He} dreamed of {look.a} {thing}.",
        '{hero} {spoke}, "I want {look.a} {thing}!"',
        "{hero.His} {family} had lost {look.a} {thing}.",
    ]),
    (1.0, [
        "It lay in {shut.a} {barn}.",
        "But the {barn} that held it was {shut}.",
        "One {time}, {hero.he} saw it in {shut.a} {barn}.",
    ]),
    (0.6, [
        "{hero} was {weary} and {sad}.",
        "{hero.He} {wept} by {spot.a}.",
        "{hero.He} {wept} for {number} {span}.",
    ]),
    (1.0, [
        "{animal.A} {moved} up to {hero.him}.",
        "Soon {kind.a} {animal} {moved} by.",
        "Under {spot.a} sat {kind.a} {animal}.",
    ]),
    (0.7, [
        'The {animal} asked, "Why are you {sad}?"\n{hero} {spoke}, "The {barn} is {shut}."',
        'The {animal} {spoke}, "Do not be {sad}, {hero}!"',
        '{hero} {spoke}, "Please help me, {animal}!"',
    ]),
    (0.5, [
        "{hero.He} gave the {animal} {number} {food}.",
        'The {animal} {spoke}, "Bring me {number} {food}."',
    ]),
    (1.0, [
        "Together they {opened} the {barn}.",
        "The {animal} {manner} {opened} the {barn}.",
        "In {number} {span} they {opened} the {barn}.",
    ]),
    (1.0, [
        "Inside lay the {thing}.",
        "Behind {spot.a} lay the {thing}.",
        "The {animal} {manner} gave {hero.him} the {thing}.",
    ]),
    (0.5, [
        '{hero} {spoke}, "Thank you, {animal}!"',
        "{hero} {manner} hugged the {animal}.",
    ]),
    (1.0, [
        "They ate {food} and {joy} all {time}.",
        "{hero} went home {glad}.",
        "{hero} and the {animal} {joy} until {time}.",
        "{hero} was {glad} all {time}.",
    ]),
]  # fmt: skip

TALES = Grammar(BOUND, {name: words.split() for name, words in FREE.items()}, SCENES)
