def rms_norm(x, gain, eps):
    mean_square = (x * x).mean(dim=-1, keepdim=True)  # one number for each token
    return x / (mean_square + eps).sqrt() * gain
