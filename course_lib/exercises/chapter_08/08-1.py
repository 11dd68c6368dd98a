first_tokens = [
    "ug",  # u+g and p+u both occur 10 times, and u comes after p in the alphabet
    "un",  # now u+n occurs 8 times; p+u is left in pun only, 5 times
    "pun",  # p+un, p+ug and h+ug occur 5 times each; p comes after h, and un after ug
    "pug",  # p+ug and h+ug are left
]
