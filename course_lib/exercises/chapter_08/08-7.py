import re


def encode_chat(template, texts, special, encode):
    waiting, ids = list(texts), []
    between = "|".join(map(re.escape, special))  # escaped: in a pattern, | means "or"
    for part in re.split(f"({between})", template):  # the template alone, before a user's word is in it
        if part in special:
            ids.append(special[part])
        else:
            first, *others = part.split("{}")
            ids += encode(first + "".join(waiting.pop(0) + rest for rest in others))
    return ids
