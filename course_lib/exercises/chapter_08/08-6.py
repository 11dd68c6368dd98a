import codecs


def stream(ids, vocab):
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")  # it keeps what is half a character
    for i in ids:
        yield decoder.decode(vocab[i])
