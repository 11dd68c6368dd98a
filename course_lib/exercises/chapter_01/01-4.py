def strict_encode(text, characters):
    number_of = {character: number for number, character in enumerate(characters)}
    ids = []
    for position, character in enumerate(text):
        if character not in number_of:
            raise ValueError(f"the character {character!r} at position {position} is not in the vocabulary")
        ids.append(number_of[character])
    return ids
