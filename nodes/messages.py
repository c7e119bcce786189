"""Every message of the nodes that an artist can meet: what it says, why it comes, and what to do about it.

``message(name, ...)`` gives the text; docs/messages.md lists them all.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Message(NamedTuple):
    """The text, with its values in braces, and two sentences for the page of the docs."""

    text: str
    cause: str
    remedy: str


MESSAGES: dict[str, Message] = {
    "cache-bypassed": Message(
        "EasyCache is bypassed on the steps that REG rectifies.",
        "An output cache answers a repeated noise level without asking the model, which leaves no derivative.",
        "Nothing to do. Raise 'refresh' or narrow the range of REG if the cache should act at more steps.",
    ),
    "predictions-coupled": Message(
        "On this model the prompts of a batch act on each other, so REG evaluates positive and negative together. "
        "That takes about twice as long on the steps that compute a gradient.",
        "A node such as Normalized Attention Guidance, or the network itself, mixes the predictions of one batch.",
        "Nothing to do. Remove the node, or choose 'finite difference', if the time matters.",
    ),
    "estimator-replaced": Message(
        "{reason} Using '{fallback}' for the rest of this run.",
        "The estimator cannot be used with this model, these nodes or this machine; the sentence before says why.",
        "Nothing to do. Choose '{fallback}' to leave the attempt out.",
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
    ),
    "gradient-check-failed": Message(
        "Gradient check failed: {source} disagree with a finite difference by {share:.0%}.",
        "The weights or the attention come from another node or are streamed, and their derivative is not true.",
        "Nothing to do. Load the model without that node for an exact gradient.",
    ),
    "correction-not-finite": Message(
        "The factor is not finite on some steps, which therefore are plain CFG.",
        "The model's gradient overflowed, mostly in half precision.",
        "Load the model in another precision, such as fp32, or choose another estimator.",
    ),
    "correction-too-large": Message(
        "The correction would make the guidance {growth:,.0f} times as large, which no model's gradient does: plain "
        "CFG on those steps.",
        "The product of the gradient is wrong, for instance since another node changes what the model predicts.",
        "Choose another estimator, or remove the node that changes the model.",
    ),
    "output-cached": Message(
        "The model gave a shifted input the same output, as a node that caches outputs does: plain CFG on those steps.",
        "A finite difference needs the model's answer to a slightly different sample, and a cache gave the old one.",
        "Remove the node that caches outputs, or choose 'reverse'.",
    ),
    "no-memory-for-difference": Message(
        "Not enough memory for one more evaluation of the model: plain CFG on some steps.",
        "A finite difference evaluates the model once more, and the memory was spent.",
        "Use a smaller image or batch, or close what else uses the memory.",
    ),
    "strength-zero": Message(
        "no effect: strength is 0, which is plain CFG. Raise strength.",
        "Strength 0 applies nothing of the correction.",
        "Raise strength; 1 is REG as published.",
    ),
    "nothing-to-show": Message(
        "no effect to show: {reason}",
        "The inspector has no record of a run with REG.",
        "Do what the message says.",
    ),
    "no-run-found": Message(
        "no run with REG was found. Connect the MODEL or GUIDER with REG that the sampler uses to 'model', and the "
        "sampler's LATENT to 'samples'. If both are, the result came from the cache: change the seed and run again.",
        "The inspector looks for the run of the nearest sampler with REG before it, among the last runs.",
        "Connect both, or change the seed.",
    ),
    "no-effect-undone": Message(
        "no effect: another node on this model replaces the negative prediction that REG has changed, so the sampler "
        "receives nothing of it. Remove that node.",
        "A pre-CFG node after REG, such as a CFG multiplier, writes its own negative prediction.",
        "Remove that node.",
    ),
    "no-effect-broken": Message(
        "no effect: {steps}, which can break the image. Load the model in another precision, such as fp32.",
        "The model itself, or the correction, overflowed.",
        "Load the model in another precision.",
    ),
    "some-steps-broken": Message(
        "But {steps}, which can break the image. Load the model in another precision, such as fp32.",
        "The model itself, or the correction, overflowed at some steps.",
        "Load the model in another precision.",
    ),
    "no-effect-guider": Message(
        "no effect: this guider computes its predictions itself, so REG cannot see them. Use CFG Guider or REG Guider.",
        "Guiders with three predictions or two models do not go through the host's pair of predictions.",
        "Use a guider with one positive and one negative prediction.",
    ),
    "no-effect-separate": Message(
        "no effect: another node (such as SkipLayerGuidanceDiTSimple) asks for the two predictions one at a time, so "
        "REG never sees them together. Remove that node, or use SkipLayerGuidanceDiT, which works with REG.",
        "REG corrects the difference of the two predictions and has to see both at once.",
        "Remove that node, or use the full version of it.",
    ),
    "partly-separate": Message(
        "At {count} of {total} steps another node (such as SkipLayerGuidanceDiTSimple) asks for the two predictions "
        "one at a time, so REG does not act there. Remove that node, or use SkipLayerGuidanceDiT, which works with "
        "REG.",
        "REG corrects the difference of the two predictions and has to see both at once.",
        "Remove that node, or use the full version of it.",
    ),
    "no-effect-unguided": Message(
        "no effect: no guidance to rectify (cfg is 1, or no negative conditioning). Raise cfg above 1.",
        "At cfg 1 the host evaluates the positive prompt alone.",
        "Raise cfg above 1.",
    ),
    "no-effect-range": Message(
        "no effect: no guided step of this run lies between start_percent and end_percent. Widen the range.",
        "The range of REG, or of the schedule, leaves no step on which both act.",
        "Widen the range.",
    ),
    "no-effect-unusable": Message(
        "no effect: the factor could not be used at any step, so the image is plain CFG. The log says why; try another "
        "estimator.",
        "Every product was refused, for reasons that stand in the log.",
        "Try another estimator.",
    ),
    "no-effect-same-predictions": Message(
        "no effect: positive and negative conditioning give the same prediction. Change one of them, or remove a node "
        "that makes them the same (such as Normalized Attention Guidance).",
        "Without a difference between the two there is no guidance to rectify.",
        "Change one of the prompts.",
    ),
    "guidance-altered": Message(
        "Another node changes the predictions after REG: the sampler receives guidance that differs from REG's by "
        "{by}. Remove that node to see REG alone.",
        "A pre-CFG node after REG changes the predictions further. That may be what you want.",
        "Nothing to do, if that node is meant to act.",
    ),
    "guider-ignores-schedule": Message(
        "The schedule sets the guider's cfg, which {guider} may not read. Use CFG Guider or REG Guider.",
        "A guider with predictions of its own may have weights of its own.",
        "Use a guider with one cfg.",
    ),
    "weight-not-a-number": Message(
        "REG: the guidance schedule gave {weight} at {percent:.0%} of the sampling, which must be a number within "
        "{limit:g}. Change the schedule, or the node that makes it.",
        "A schedule of another pack, or a combination, gave infinity or no number.",
        "Change the schedule.",
    ),
    "conditioning-empty": Message(
        "REG: {name} conditioning is empty. Connect a node that encodes a prompt or a class.",
        "The input is linked to a node that gave no conditioning at all.",
        "Connect CLIP Text Encode or its like; an empty prompt is encoded, too.",
    ),
    "not-finite": Message(
        "The numbers at {percent:.0%} of the run are not finite (NaN or infinite). Load the model in another "
        "precision, such as fp32.",
        "The model itself, or the correction, overflowed.",
        "Load the model in another precision.",
    ),
    "diagnostics-failed": Message(
        "{what} failed ({error}); the image does not depend on it. Start ComfyUI with --verbose DEBUG to see where.",
        "A fault in what REG shows, or in what it shows it with, such as a VAE or a preview.",
        "Report it with the log, if the fault is ours.",
    ),
}


def message(name: str, /, **values: Any) -> str:
    """The text of a message with its values."""
    return MESSAGES[name].text.format(**values)
