"""REG AutoGuider and its weak version."""

from __future__ import annotations

from .message import Message

MESSAGES: dict[str, Message] = {
    "weak-not-used": Message(
        "The weak version is not used: cfg is 1. Raise cfg above 1.",
        "At cfg 1 the prediction of the weak version has no weight, so it is not evaluated.",
        "Raise cfg above 1.",
        "The weak version is not used: raise cfg above 1.",
    ),
    "weak-not-weaker": Message(
        "The weak version predicts the same as the model, so there is no guidance. Choose a weaker one.",
        "Autoguidance moves away from the weak version, which has to differ from the model.",
        "Choose other layers, or connect a smaller or less trained weak_model.",
        "The weak version is as strong: choose a weaker one.",
    ),
    "node-needs-negative": Message(
        "A node on this model (such as Normalized Attention Guidance) works inside the batch that positive and "
        "negative share. Autoguidance has no negative, so that node has little or no effect here. Use REG Guider with "
        "it.",
        "Such a node compares the attention of both prompts, and with autoguidance there is one.",
        "Use REG Guider with that node, or remove the node.",
        "A node here needs a negative: use REG Guider with it.",
    ),
    "latents-differ": Message(
        "REG: model and weak_model must share a latent space: model is {model}, weak_model is {weak}. Connect a "
        "smaller or less trained version of the same kind of model.",
        "The predictions of the two are subtracted, so they have to mean the same.",
        "Connect a weak_model of the same kind.",
    ),
    "noises-differ": Message(
        "REG: model and weak_model mix noise in different ways (flow against eps or v): model is {model}, weak_model "
        "is {weak}. Connect a smaller or less trained version of the same kind of model.",
        "One noise level of the sampler means different samples to the two models.",
        "Connect a weak_model of the same kind.",
    ),
    "hooks-on-shared-weights": Message(
        "REG: a LoRA on the prompt cannot be combined with a weak_model from the same loader as model, since both "
        "would change the same weights. Load weak_model from a file of its own.",
        "The host swaps the weights for such a LoRA in the middle of a prediction.",
        "Load weak_model with a loader of its own, or remove the LoRA from the prompt.",
    ),
    "weights-shared": Message(
        "model and weak_model share their weights, so a LoRA is put on and off at every step, which is slow. Load "
        "weak_model with a loader of its own if there is memory for both.",
        "Both come from one loader and differ by a LoRA.",
        "Nothing to do, if the time does not matter.",
        "A LoRA is swapped at every step: load weak_model apart.",
    ),
    "layers-unreadable": Message(
        "REG: expected layers as numbers from 0, such as 7, 8, 9 or 7-9; got {value}. Write numbers only.",
        "The text holds something else than numbers, commas and hyphens, or a range that runs backwards.",
        "Write numbers only.",
    ),
    "layers-too-many": Message(
        "REG: at most {most} layers can be skipped; got {value}. Choose fewer.",
        "No model has as many layers.",
        "Choose fewer: one to three from the middle of the model are useful.",
    ),
    "unet-has-no-layers": Message(
        "REG: this model ({model}) is a UNet, which has no layers that could be skipped. Choose '{other}', or connect "
        "weak_model.",
        "Only transformers are rows of equal layers.",
        "Choose the other way to weaken it, or connect weak_model.",
    ),
    "middle-without-attention": Message(
        "REG: '{weaken}' needs a UNet with attention in its middle (SD1.5, SD2, SDXL); this model is {model}. Choose "
        "'{other}', or connect weak_model.",
        "The attention that would be perturbed is not there.",
        "Choose the other way to weaken it, or connect weak_model.",
    ),
    "perturbation-blocked": Message(
        "REG: '{weaken}' changes nothing in this model: another node that patches it stands in the way. Remove that "
        "node, or connect weak_model.",
        "The other node replaces the same attention, or the patches of the model.",
        "Remove that node, or connect weak_model.",
    ),
    "skipping-changes-nothing": Message(
        "REG: skipping {layers} changes nothing in this model ({model}; blocks: {blocks}). Choose layers that it has; "
        "if it has them, it does not let them be skipped: connect weak_model.",
        "The model has fewer layers, or its code does not ask for patches of its layers.",
        "Choose other layers, or connect weak_model.",
    ),
    "layers-missing": Message(
        "This model has no {layers}; the others are skipped. Remove the number, or choose other layers.",
        "Some of the layers that 'layers' names are beyond the last.",
        "Nothing to do, if the others are those that you want.",
        "This model has no {layers}: choose other layers.",
    ),
}
