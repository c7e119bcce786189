"""What REG did in a run, or why it did nothing."""

from __future__ import annotations

from .message import Message

MESSAGES: dict[str, Message] = {
    "strength-zero": Message(
        "no effect: strength is 0, which is plain CFG. Raise strength.",
        "Strength 0 applies nothing of the correction.",
        "Raise strength; 1 is REG as published.",
        "No effect: strength is 0. Raise it.",
    ),
    "strength-above-one": Message(
        "Strength is {strength:g}, and above 1 REG often breaks shapes. Lower it to 1.",
        "Strength 1 is REG as published; more of it takes guidance away that the image needs.",
        "Lower strength to 1, unless the image is as you want it.",
        "Strength {strength:g} often breaks shapes: lower it to 1.",
    ),
    "reg-repeated": Message(
        "REG is applied twice to this model; the last one counts. Remove one of the two.",
        "A MODEL that already carries REG goes through another node with REG, which takes the place of the first.",
        "Remove one of the two nodes, or bypass it.",
        "REG is applied twice; the last one counts. Remove one.",
    ),
    "reg-replaced": Message(
        "This REG is not in use where another one comes after it: the last one counts. Remove one of the two.",
        "The MODEL of this node goes through another node with REG, which takes the place of this one.",
        "Remove one of the two nodes, or bypass it.",
        "Not in use: another REG comes after it. Remove one.",
    ),
    "no-effect-no-negative": Message(
        "no effect: there is no negative conditioning, so there is no guidance to rectify. Use CFG Guider or REG "
        "Guider.",
        "A guider such as Basic Guider evaluates the positive prompt alone, whatever the weight.",
        "Use a guider with a positive and a negative prompt.",
        "No effect: no negative prompt. Use CFG Guider or REG Guider.",
    ),
    "no-effect-schedule-one": Message(
        "no effect: the schedule is 1 throughout, which is no guidance to rectify. Raise it above 1.",
        "The guidance schedule sets the weight of every step, in place of the sampler's cfg.",
        "Raise the schedule above 1, or disconnect it.",
        "Your schedule is 1 throughout: raise it.",
    ),
    "strength-zero-inspected": Message(
        "strength is 0, so REG did nothing in this run. Raise strength.",
        "Strength 0 applies nothing of the correction, so there is nothing to record.",
        "Raise strength; 1 is REG as published.",
    ),
    "nothing-to-show": Message(
        "no effect to show: {reason}",
        "The inspector has no record of a run with REG.",
        "Do what the message says.",
        "The record of this run failed; the log says where.",
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
        "No effect: another node undoes REG. Remove that node.",
    ),
    "no-effect-broken": Message(
        "no effect: {steps}, which can break the image. Load the model in another precision, such as fp32.",
        "The model itself, or the correction, overflowed.",
        "Load the model in another precision.",
        "No effect: the numbers broke (NaN). Load the model as fp32.",
    ),
    "some-steps-broken": Message(
        "But {steps}, which can break the image. Load the model in another precision, such as fp32.",
        "The model itself, or the correction, overflowed at some steps.",
        "Load the model in another precision.",
        "Some steps broke (NaN): load the model as fp32.",
    ),
    "no-effect-guider": Message(
        "no effect: this guider computes its predictions itself, so REG cannot see them. Use CFG Guider or REG Guider.",
        "Guiders with three predictions or two models do not go through the host's pair of predictions.",
        "Use a guider with one positive and one negative prediction.",
        "No effect with this guider: use CFG Guider or REG Guider.",
    ),
    "no-effect-separate": Message(
        "no effect: another node (such as SkipLayerGuidanceDiTSimple) asks for the two predictions one at a time, so "
        "REG never sees them together. Remove that node, or use SkipLayerGuidanceDiT, which works with REG.",
        "REG corrects the difference of the two predictions and has to see both at once.",
        "Remove that node, or use the full version of it.",
        "No effect: another node parts the predictions. Remove it.",
    ),
    "partly-separate": Message(
        "At {count} of {total} steps another node (such as SkipLayerGuidanceDiTSimple) asks for the two predictions "
        "one at a time, so REG does not act there. Remove that node, or use SkipLayerGuidanceDiT, which works with "
        "REG.",
        "REG corrects the difference of the two predictions and has to see both at once.",
        "Remove that node, or use the full version of it.",
        "Another node stops REG at {count} of {total} steps: remove it.",
    ),
    "no-effect-unguided": Message(
        "no effect: no guidance to rectify (cfg is 1, or no negative conditioning). Raise cfg above 1.",
        "At cfg 1 the host evaluates the positive prompt alone.",
        "Raise cfg above 1.",
        "No effect: no guidance to rectify. Raise cfg above 1.",
    ),
    "no-effect-range": Message(
        "no effect: no guided step of this run lies between start and end. Widen the range.",
        "The range of REG, or of the schedule, leaves no step on which both act.",
        "Widen the range.",
        "No effect: no guided step in the range. Widen it.",
    ),
    "no-effect-unusable": Message(
        "no effect: the factor could not be used at any step, so the image is plain CFG. The log says why; try another "
        "estimator.",
        "Every product was refused, for reasons that stand in the log.",
        "Try another estimator.",
        "No effect: the factor broke. Try another estimator.",
    ),
    "no-effect-same-predictions": Message(
        "no effect: positive and negative conditioning give the same prediction. Change one of them, or remove a node "
        "that makes them the same (such as Normalized Attention Guidance).",
        "Without a difference between the two there is no guidance to rectify.",
        "Change one of the prompts.",
        "No effect: both prompts predict the same. Change one.",
    ),
    "guidance-altered": Message(
        "Another node changes the predictions after REG: the sampler receives guidance that differs from REG's by "
        "{by}. Remove that node to see REG alone.",
        "A pre-CFG node after REG changes the predictions further. That may be what you want.",
        "Nothing to do, if that node is meant to act.",
        "Another node changes REG's guidance by {by}.",
    ),
    "not-finite": Message(
        "The numbers at {percent:.0%} of the run are not finite (NaN or infinite). Load the model in another "
        "precision, such as fp32.",
        "The model itself, or the correction, overflowed.",
        "Load the model in another precision.",
        "The numbers are not finite: load the model as fp32.",
    ),
    "guidance-changed": Message(
        "guidance changed by {change:.0%}, factor {low:.2f} to {high:.2f}, in {count} of {total} evaluations ({how}).",
        "The line at the end of a run that went well. A factor of 1 is plain CFG, 0 no guidance.",
        "Nothing to do. REG Inspector shows it step by step.",
    ),
    "chosen-by-auto": Message(
        "Chosen by auto: {reason}",
        "Estimator 'auto' tells why it chose what it did.",
        "Nothing to do. Name an estimator to choose it yourself.",
    ),
    "effect": Message(
        "REG changed the guidance by {change:.0%} on average{where}.",
        "The sentence of REG Inspector for a run that went well.",
        "Nothing to do. Change 'strength' for more or less of it.",
    ),
    "advice-even": Message(
        "It is nearly the same everywhere in the image (within {error:.0%}), so a schedule does as well, for nothing. "
        "Click Make schedule.",
        "One factor for each noise level reproduces nearly all of the rectified guidance.",
        "Click Make schedule in the Inspector, or use its output 'schedule'.",
    ),
    "advice-local": Message(
        "It differs from place to place (by {error:.0%}), which no schedule can do: keep REG.",
        "A single factor for each noise level is this far from the rectified guidance.",
        "Nothing to do. A schedule is still free, and Make schedule gives the best one.",
    ),
    "status-effect": Message(
        "REG on: guidance {how}{where}.",
        "The line on the node after a run that went well.",
        "Nothing to do. REG Inspector shows it step by step.",
    ),
    "status-effect-scheduled": Message(
        "REG on, cfg {span} from the schedule: guidance {how}.",
        "The line on the node after a run that went well, under a guidance schedule.",
        "Nothing to do. The schedule sets the weight, in place of the sampler's cfg.",
    ),
    "status-faint": Message(
        "REG on, but faint (within {least:.0%} of CFG): raise strength.",
        "REG changed the guidance too little to be seen, and strength is below 1.",
        "Raise strength.",
    ),
    "status-idle": Message(
        "REG on, but within {least:.0%} of CFG here: bypass it to save time.",
        "REG changed the guidance too little to be seen, at full strength.",
        "Bypass the node, or widen its range.",
    ),
    "effect-negligible": Message(
        "REG changed the guidance by less than {least:.0%} at every step: it is plain CFG to the eye.",
        "The factor is close to 1 everywhere, as with a low strength or a late range.",
        "Raise strength, or widen the range.",
    ),
    "record-failed": Message(
        "its record failed. Start ComfyUI with --verbose DEBUG and run again to see where.",
        "A fault in what REG keeps of a run. The image does not depend on it.",
        "Report it with the log, if the fault is ours.",
        "The record of this run failed; the log says where.",
    ),
}
