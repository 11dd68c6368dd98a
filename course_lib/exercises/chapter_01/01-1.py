characters = sorted(set("banana bread"))
bread_ids = [characters.index(character) for character in "bread"]
