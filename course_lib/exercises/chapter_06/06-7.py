import os


def atomic_write(path, data):
    scratch = path.with_name(f".{path.name}.new")  # in the same folder, so on the same disk
    try:
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    return len(data)
