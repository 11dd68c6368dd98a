import math


def fair_score(nats_per_token, tokenizer, text):
    nats = nats_per_token * len(tokenizer.encode(text))
    return nats / math.log(2) / len(text.encode("utf-8"))
