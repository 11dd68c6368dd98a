from torch.utils.data import Dataset


class TwoKinds(Dataset):
    def __init__(self, images, labels, first, second):
        chosen = (labels == first) | (labels == second)
        self.images = images[chosen]
        self.targets = (labels[chosen] == second).long()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], int(self.targets[index])
