"""The names under which this pack stands among a MODEL's wrappers and options."""

GUIDANCE_KEY = "rectified_gradient_guidance"
RUNS_KEY = "rectified_gradient_runs"
SCHEDULE_KEY = "guidance_schedule"
AUTOGUIDANCE_KEY = "autoguidance"
STOPWATCH_KEY = "reg_stopwatch"
ATTENTION_KEY = "rectified_gradient_attention"

OWN_KEYS = frozenset({GUIDANCE_KEY, RUNS_KEY, SCHEDULE_KEY, AUTOGUIDANCE_KEY, STOPWATCH_KEY, ATTENTION_KEY})
