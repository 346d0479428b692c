from __future__ import annotations

import torch

from tomolift.models import DilatedResNet18, load_pretrained, read_checkpoint


def test_camvid_network_has_11_classes_and_finite_sensible_logits(real_weights, generator):
    checkpoint = read_checkpoint(real_weights / "resnet18_8s_camvid.pth")
    assert (checkpoint.format, checkpoint.naming) == ("torch-zip", "resnet18_8s")
    assert (checkpoint.num_classes, len(checkpoint.state_dict)) == (11, 102)
    network = DilatedResNet18(11).eval()
    assert len(load_pretrained(network, checkpoint).matched) == 102
    with torch.no_grad():
        logits = network(torch.randn(1, 3, 120, 160, generator=generator))
    assert logits.shape == (1, 11, 120, 160)
    assert logits.isfinite().all()
    assert logits.std() > 0.5  # a trained network has opinions


def test_tiny_imagenet_network_loads_without_its_classifier(real_weights, generator):
    checkpoint = read_checkpoint(real_weights / "resnet18_tinyimagenet.safetensors")
    assert (checkpoint.format, checkpoint.naming) == ("safetensors", "torchvision")
    assert checkpoint.num_classes is None
    network = DilatedResNet18(3).eval()
    report = load_pretrained(network, checkpoint)
    assert len(report.matched) == 100
    assert report.reinitialised == ("fc.weight", "fc.bias")
    with torch.no_grad():
        assert network(torch.randn(1, 3, 65, 64, generator=generator)).isfinite().all()
