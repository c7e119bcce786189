"""REG Compare: its axes, its tiles and its sheet."""

from __future__ import annotations

from .message import Message

MESSAGES: dict[str, Message] = {
    "axis-unknown": Message(
        "REG: an axis must be one of {axes}; got {value}. Choose one of them.",
        "A program or a linked node named an axis that the sheet does not have.",
        "Choose one of the axes.",
    ),
    "axis-empty": Message(
        "REG: {axis} has no values. Write them with commas between, or choose {none} as the axis.",
        "The field of the values is empty.",
        "Write values, or choose no axis.",
    ),
    "axis-too-long": Message(
        "REG: a sheet has at most {most} tiles; {axis} has {count} values. Remove some.",
        "Each tile is sampled, and its pixels are kept until the sheet is drawn.",
        "Remove values, or use two nodes.",
    ),
    "axis-number-wrong": Message(
        "REG: {axis} takes {kind} such as {examples}; got {value}. Change this value.",
        "One of the values, or of the numbers after the name of a schedule, is no number.",
        "Change the value. Commas stand between values, spaces between the numbers of a schedule.",
    ),
    "axis-value-unknown": Message(
        "REG: {axis} must be one of {examples}; got {value}. Write one of these.",
        "One of the values is not known to this axis.",
        "Write one of the values that the message names.",
    ),
    "budget-needs-curve": Message(
        "REG: the budget {budget} follows a curve that REG has measured, and the sheet takes none. Choose another "
        "budget, or the method {name}.",
        "REG Compare has no input for a measured curve; its method measured takes that of the first tile with REG.",
        "Choose another budget, or write measured among the methods.",
    ),
    "axis-value-misspelt": Message(
        "REG: {axis} {value} is unknown. Did you mean {guess}?",
        "One of the values is not known to this axis, and one that is known is written nearly alike.",
        "Correct the value.",
    ),
    "axis-choice-unknown": Message(
        "REG: {axis} must be one of the names that its input offers, such as {options}; got {value}. Write one "
        "of them.",
        "One of the values is not among the choices of that input, or it names several of them.",
        "Write the name as the input offers it.",
    ),
    "prompt-without": Message(
        "REG: {axis} replaces {value}, and no text upstream of positive or negative contains it. Write words of your "
        "prompt first, then what is to stand in their place.",
        "The first value of the axis is looked for in the prompts, in the same case.",
        "Write words of your prompt as the first value.",
    ),
    "lora-not-one": Message(
        "REG: {axis} needs one LoRA loader upstream of model; got {count}. Add one, or name one with the axis widget, "
        "as in number.strength_model = 0.5, 1.",
        "There is no LoRA between the loader of the model and the sheet, or there are several.",
        "Add a LoRA loader, or choose the axis widget.",
    ),
    "model-not-loaded": Message(
        "REG: {axis} needs a loader of checkpoints or diffusion models upstream of model. Connect one, or choose the "
        "axis widget.",
        "None of the nodes before the sheet has an input with the name of such a file.",
        "Connect a loader of ComfyUI, or choose the axis widget.",
    ),
    "widget-not-named": Message(
        "REG: {axis} takes the name of a widget, the sign = and its values, as in {examples}; got {value}. Write all "
        "three.",
        "The name of the widget is missing.",
        "Write the name of the widget before its values.",
    ),
    "widget-unknown": Message(
        "REG: {axis} {value} is no widget of a node upstream of the sheet. Write one of {names}.",
        "No node before the sheet has an input of that name with a value written in it.",
        "Write one of the names, or connect the node.",
    ),
    "widget-not-one": Message(
        "REG: {axis} {value} is a widget of several nodes upstream of the sheet. Write one of {names}.",
        "More than one node before the sheet has an input of that name.",
        "Write the number or the title of the node before it, with a full stop between.",
    ),
    "axis-count-wrong": Message(
        "REG: {axis} {name} takes {numbers}, as in {examples}; got {value}. Write as many numbers as it takes.",
        "Too many or too few numbers follow the name of a schedule.",
        "Write as many numbers as it takes, with spaces between.",
    ),
    "schedule-not-connected": Message(
        "REG: {axis} {name} needs a connected schedule. Connect one, or remove the value.",
        "The value stands for the schedule that is linked to the sheet, and none is.",
        "Connect a schedule, or remove the value.",
    ),
    "method-needs-reg": Message(
        "REG: {axis} {name} takes its weight from tiles with REG. Add REG to the values of {axis}.",
        "The value takes its weight from what REG does in the same sheet, and no tile of it has REG.",
        "Add REG to the values, or remove this one.",
    ),
    "nothing-measures": Message(
        "REG: {name} takes its schedule from a tile with REG, and none of them has guidance to rectify. Set a strength "
        "above 0 and a cfg above 1.",
        "All tiles with REG have strength 0, or a cfg of 1.",
        "Set a strength above 0 and a cfg above 1, for one of these tiles at least.",
    ),
    "run-without-factor": Message(
        "REG: the tile with REG shows no factor that {name} could follow. Set its cfg above 1, or remove {name}.",
        "REG had no guidance to rectify in that tile, or its numbers were not finite.",
        "Set its cfg above 1, or remove the value.",
    ),
    "run-not-kept": Message(
        "REG: what REG did in the tile that {name} follows is no longer known. Change the seed, so that it is sampled "
        "again.",
        "ComfyUI has kept the image of the tile and not its numbers, for want of memory.",
        "Change the seed, or another setting of the sheet.",
    ),
    "axes-same": Message(
        "REG: columns and rows are both {axis}. Choose another axis, or {none}, for one of them.",
        "Two axes over the same setting would overwrite each other.",
        "Choose another axis for one of them.",
    ),
    "sheet-too-large": Message(
        "REG: a sheet has at most {most} tiles; got {columns} columns x {rows} rows = {count}. Remove values, or use "
        "two nodes.",
        "Each tile is sampled, and its pixels are kept until the sheet is drawn.",
        "Remove values, or use two nodes.",
    ),
    "model-not-plain": Message(
        "REG: expected a plain model, to compare with and without; got one that already carries {what}. Connect the "
        "model from before that node and use the inputs of REG Compare.",
        "The sheet adds REG and schedules itself, to some of its tiles.",
        "Connect the model from before that node and use the inputs of REG Compare.",
    ),
    "cfg-axis-idle": Message(
        "The {schedule} schedule sets the weight of its tiles, so the cfg axis does not change them. Choose another "
        "schedule, or another axis.",
        "A schedule with a weight of its own is used with an axis over cfg.",
        "Leave out the number that sets the weight, or choose another axis.",
        "The schedule sets the weight: the cfg axis changes nothing.",
    ),
    "cfg-axis-idle-for-some": Message(
        "The schedules {schedules} set the weight of their tiles, so the cfg axis does not change them. Choose other "
        "schedules, or another axis.",
        "Schedules with weights of their own are used with an axis over cfg.",
        "Leave out the numbers that set the weights, or choose another axis.",
        "Schedules set the weight: cfg changes nothing there.",
    ),
    "skip-wrong": Message(
        "REG: expected the prompt_id and runs of tiles to skip; got {value}. Send both as the event reg.sheet has "
        "them.",
        "A program has asked to skip tiles, in another form than the page does.",
        "Use the buttons in the node, or send what the event reg.sheet says.",
    ),
    "all-skipped": Message(
        "REG: all tiles were skipped, so there are no images. Run the sheet again.",
        "Each tile was skipped in the node, and an output of the sheet asks for their images.",
        "Run the sheet again, and let one tile be drawn at least.",
    ),
    "sheet-reduced": Message(
        "The sheet shows its tiles at {scale:.0%} of their size. Use the output 'tiles' for their full size.",
        "The sheet would be too large for one picture.",
        "Use the output 'tiles', or fewer or smaller tiles.",
        "Tiles at {scale:.0%} size: the output 'tiles' has them whole.",
    ),
}
