"""The gradient of the model: which estimator a run uses, and what was refused."""

from __future__ import annotations

from .message import Message

MESSAGES: dict[str, Message] = {
    "cache-bypassed": Message(
        "EasyCache is bypassed on the steps that REG rectifies.",
        "An output cache answers a repeated noise level without asking the model, which leaves no derivative.",
        "Nothing to do. Lower the budget or narrow the range of REG if the cache should act at more steps.",
    ),
    "predictions-coupled": Message(
        "On this model the prompts of a batch act on each other, so REG evaluates positive and negative together. "
        "That takes about twice as long on the steps that compute a gradient.",
        "A node such as Normalized Attention Guidance, or the network itself, mixes the predictions of one batch.",
        "Nothing to do. Remove the node, or choose 'finite difference', if the time matters.",
        "The prompts act on each other here: REG takes longer.",
    ),
    "estimator-replaced": Message(
        "{reason} Using '{fallback}' for the rest of this run.",
        "The estimator cannot be used with this model, these nodes or this machine; the sentence before says why.",
        "Nothing to do. Choose 'finite difference' to leave the attempt out.",
        "Using '{fallback}' for the rest of this run.",
    ),
    "estimator-failed": Message(
        "Estimator '{estimator}' failed ({reason}).",
        "The model raised an error while its derivative was taken, often from a kernel that has none.",
        "Nothing to do. Another attention or precision of the model may have a derivative.",
    ),
    "checkpointing-on": Message(
        "Not enough memory for the gradient ({reason}): checkpointing is on for the rest of this run.",
        "The activations that the gradient needs do not fit into the free memory.",
        "Nothing to do. Set 'checkpointing' to on to leave the first attempt out.",
        "Memory is short: checkpointing is on for this run.",
    ),
    "gradient-check-failed": Message(
        "Gradient check failed: {source} disagree with a finite difference by {by}.",
        "The weights or the attention come from another node or are streamed, and their derivative is not true.",
        "Nothing to do. Load the model without that node for an exact gradient.",
    ),
    "correction-not-finite": Message(
        "The factor is not finite on some steps, which therefore are plain CFG.",
        "The model's gradient overflowed, mostly in half precision.",
        "Load the model in another precision, such as fp32, or choose another estimator.",
        "The factor broke at some steps: they are plain CFG.",
    ),
    "correction-too-large": Message(
        "The correction would make the guidance {growth:,.0f} times as large, which no model's gradient does: plain "
        "CFG on those steps.",
        "The product of the gradient is wrong, for instance since another node changes what the model predicts.",
        "Choose another estimator, or remove the node that changes the model.",
        "The factor was too large at some steps: plain CFG there.",
    ),
    "output-cached": Message(
        "The model gave a shifted input the same output, as a node that caches outputs does: plain CFG on those steps.",
        "A finite difference needs the model's answer to a slightly different sample, and a cache gave the old one.",
        "Remove the node that caches outputs, or choose 'reverse'.",
        "A cached output stopped REG at some steps: plain CFG there.",
    ),
    "no-memory-for-difference": Message(
        "Not enough memory for one more evaluation of the model: plain CFG on some steps.",
        "A finite difference evaluates the model once more, and the memory was spent.",
        "Use a smaller image or batch, or close what else uses the memory.",
        "Not enough memory at some steps: plain CFG there.",
    ),
    "estimator-suited": Message(
        "The model has a gradient and memory for it.",
        "This is why estimator 'auto' stayed with 'reverse'.",
        "Nothing to do.",
    ),
    "part-without-gradient": Message(
        "REG: a part of the model ({module}) runs without a gradient.",
        "The layer was written for inference only, as some mixtures of experts are: its share would be lost.",
        "Nothing to do: another estimator takes over. Choose 'finite difference' to leave the attempt out.",
    ),
}
