"""One network of every family of torchvision's classifiers and of 46 families of timm's, without weights of theirs."""

from __future__ import annotations

import torch
from torch import nn

from benchmark.torchvision_import import import_torchvision

FAMILIES = {
    "torchvision": """
        alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet1_0
        mobilenet_v2 mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 resnet50 resnext50_32x4d
        shufflenet_v2_x1_0 squeezenet1_1 swin_t swin_v2_t vgg16_bn vit_b_32 wide_resnet50_2""",
    "timm": """
        beit_base_patch16_224 cait_xxs24_224 coat_lite_tiny convit_tiny convmixer_768_32 convnext_atto cspresnet50
        davit_tiny deit_tiny_patch16_224 densenet121 dla34 dpn68 edgenext_xx_small efficientformer_l1 efficientnet_b0
        efficientvit_b0 ese_vovnet19b_dw eva02_tiny_patch14_224 fastvit_t8 focalnet_tiny_srf ghostnet_100 hardcorenas_a
        hgnetv2_b0 hrnet_w18_small inception_next_tiny inception_v4 lcnet_050 legacy_seresnet18 levit_128s
        mixer_s32_224 mobilenetv3_small_100 mobilevit_xxs pit_ti_224 poolformer_s12 pvt_v2_b0 regnety_002 repvgg_a0
        repvit_m0_9 res2net50_26w_4s resnest14d resnetv2_50 rexnet_100 skresnet18 swin_tiny_patch4_window7_224 vgg11_bn
        xcit_nano_12_p16_224""",
}
CLASSES = 10  # few, so that no classifier is taken for the widening layer of an MLP


def networks() -> list[str]:
    return [f"{library}:{name}" for library, names in FAMILIES.items() for name in names.split()]


def make(name: str) -> nn.Module:
    library, name = name.split(":")
    torchvision = import_torchvision()
    torch.manual_seed(0)
    if library == "torchvision":
        options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        return torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **options)
    import timm

    return timm.create_model(name, pretrained=False, num_classes=CLASSES)
