must_be_saved = {
    "the weights": True,
    "m and v": True,
    "the learning rate": False,  # the schedule, at this step
    "the number of completed steps": True,
    "the next batch": False,  # a function of (seed, step)
    "the gradients": False,  # a step begins by forgetting them
    "dropout's chance": False,  # a function of (seed, step)
    "the alphabet": True,
    "the best loss so far": True,
}
