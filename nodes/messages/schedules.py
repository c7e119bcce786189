"""Guidance schedules and drawn curves."""

from __future__ import annotations

from .message import Message

MESSAGES: dict[str, Message] = {
    "guider-ignores-schedule": Message(
        "The schedule sets the guider's cfg, which {guider} may not read. Use CFG Guider or REG Guider.",
        "A guider with predictions of its own may have weights of its own.",
        "Use a guider with one cfg.",
        "{guider} may ignore the schedule: use CFG Guider.",
    ),
    "cfg-from-schedule": Message(
        "cfg comes from the schedule, {span}, in place of the sampler's. Change the schedule to change it.",
        "A guidance schedule sets the weight of every step.",
        "Change the schedule, or disconnect it to use the sampler's cfg.",
        "cfg comes from the schedule, {span}.",
    ),
    "schedule-one": Message(
        "The schedule is 1 throughout this run, which is no guidance. Raise it above 1.",
        "A weight of 1 is the positive prompt alone.",
        "Raise the schedule above 1, or disconnect it to use the sampler's cfg.",
        "Your schedule is 1 throughout: raise it.",
    ),
    "weight-not-a-number": Message(
        "REG: the guidance schedule gave {weight} at {percent:.0%} of the sampling, which must be a number within "
        "{limit:g}. Change the schedule, or the node that makes it.",
        "A schedule of another pack, or a combination, gave infinity or no number.",
        "Change the schedule.",
    ),
    "curve-not-points": Message(
        "REG: a curve is a list of points [x, y]; got {value}. Draw one, or connect a Curve Editor.",
        "A program or a linked node gave something else to an input that takes a curve.",
        "Draw one in the node, or connect a Curve Editor.",
    ),
    "curve-too-short": Message(
        "REG: a curve needs at least two points; got {count}. Click into the curve to add points.",
        "One point does not make a line.",
        "Click into the curve to add points.",
    ),
    "curve-too-long": Message(
        "REG: a curve has at most {most} points; got {count}. Remove some.",
        "A program or a linked node gave more points than a drawn curve needs.",
        "Remove some.",
    ),
    "curve-point-wrong": Message(
        "REG: a point of a curve is two numbers [x, y]; got {value}. Change it, or remove it.",
        "A program or a linked node gave a point with more or fewer parts.",
        "Change the point, or remove it.",
    ),
    "curve-points-too-close": Message(
        "REG: two points of the curve are too close to each other. Move them apart, or remove one.",
        "The slope between two points is too steep to compute.",
        "Move them apart, or remove one.",
    ),
    "measured-empty": Message(
        "REG: curve is empty. Run REG with an Inspector and click Make schedule.",
        "Guidance Schedule: Measured holds what one run of REG has shown, and nobody has put it there yet.",
        "Run REG with an Inspector and click Make schedule in it.",
    ),
    "not-measured": Message(
        "REG: 'measured' takes a curve that REG has measured; got {got}. Connect Guidance Schedule: Measured, or the "
        "schedule of an Inspector.",
        "Another guidance schedule says how strong the guidance is to be, not how much of it the model bears.",
        "Connect a measured curve. Other schedules belong at 'schedule'.",
    ),
    "nothing-measured": Message(
        "REG: there is no schedule to hand on, for no step of the run shows a factor. {reason} Sample with REG at a "
        "cfg above 1, in several steps.",
        "A node is linked to the output schedule of an inspector that has seen no run of REG, or one without effect. "
        "What is not linked to it runs on.",
        "Sample with REG at a cfg above 1, in several steps.",
    ),
    "schedule-alone": Message(
        "strength is 0: guidance follows the schedule alone, which costs nothing. Raise strength to have REG as well.",
        "Make schedule sets strength to 0, so that the schedule takes the place of REG.",
        "Nothing; or raise strength, and disconnect the schedule if REG is to act alone.",
        "Strength is 0: guidance follows the schedule alone.",
    ),
}
