"""The emoji model of the playground: its words, its autoencoder, and what the host makes of both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfy.latent_formats import SD3
from latent_preview import Latent2RGBPreviewer
from torch import Tensor
from torch.nn.functional import avg_pool2d
from workflows import Prompt, node, picture

from bootstrap.server import ComfyServer
from reg_pack.nodes.playground.digits import MOST_CLASSES
from reg_pack.nodes.playground.pixels import MODELS, PixelVAE, PlaygroundDecode, emoji_autoencoder
from reg_pack.nodes.playground.prompt import PlaygroundPrompt
from reg_pack.nodes.playground.words import COLOURS, ENTRIES, KINDS, STYLES, SUBJECTS

pytestmark = pytest.mark.host

VAE = PixelVAE(64, "emoji")


def condition(text: str) -> tuple[Tensor, Tensor]:
    """Tokens and pooled output of a prompt, which are the same for a positive and a negative one."""
    ((tokens, more),), ((again, _),) = PlaygroundPrompt.execute(text=text, negative=text).result
    assert torch.equal(tokens, again)
    return tokens, more["pooled_output"]


def shapes() -> Tensor:
    """IMAGE [4, 64, 64, 3]: soft coloured discs on pastel, one of them at the border."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    ground = torch.tensor([[0.9, 0.95, 0.8], [0.8, 0.85, 0.95], [0.95, 0.8, 0.85], [1.0, 1.0, 1.0]])
    ink = torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.7, 0.3], [0.3, 0.3, 0.8], [0.0, 0.0, 0.0]])
    middle = torch.tensor([[32.0, 32], [20, 40], [4, 60], [40, 30]])
    radius = torch.hypot(y - middle[:, :1, None], x - middle[:, 1:, None])  # [image, height, width]
    share = torch.sigmoid(18 - radius)[..., None]
    return share * ink[:, None, None] + (1 - share) * ground[:, None, None]


def test_each_word_has_its_own_entry() -> None:
    """A token per kind; the empty prompt's entries are those of no word; pooled is the sum of the three."""
    words = [*SUBJECTS, *COLOURS, *STYLES]
    tokens, pooled = condition("\n".join(words))
    nothing, _ = condition("")
    assert tokens.shape == (49, 3, 52) and ENTRIES == 52 and nothing.shape == (1, 3, 52)
    assert torch.equal(pooled, tokens.sum(1)) and torch.equal(tokens.sum((1, 2)), torch.full((49,), 3.0))
    kind = [number for number, known in enumerate(KINDS.values()) for _ in known]
    own = tokens[range(49), kind].argmax(-1).tolist()
    empty = nothing[0].argmax(-1).tolist()
    assert sorted(own + empty) == list(range(52))
    for index, number in enumerate(kind):
        others = [other for other in range(3) if other != number]
        assert torch.equal(tokens[index, others], nothing[0, others])


def test_order_case_and_commas_do_not_matter() -> None:
    expected, _ = condition("blue apple, noto")
    for text in ("apple blue noto", " NOTO,Apple,  blue. ", "\n\nnoto; blue; apple\n"):
        assert torch.equal(condition(text)[0], expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("blu aple", r"'blu' \(nearest: blue, \w+, \w+\), 'aple' \(nearest: apple, \w+, \w+\)"),
        ("a red car", r"unknown word 'a' "),
        ("red blue apple", "one colour per prompt; got red and blue"),
        ("noto heart\napple fluent, pear", "one subject per prompt; got apple and pear"),
        ("heart\n" * (MOST_CLASSES + 1), "at most 4096 prompts"),
        ("x " * 10**5 + " ".join(f"y{i}" for i in range(30)), "unknown word 'x'"),
    ],
)
def test_what_it_does_not_understand_is_refused_with_a_way_out(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        PlaygroundPrompt.execute(text=text, negative="")
    assert len(str(error.value)) < 420
    assert (
        PlaygroundPrompt.validate_inputs(text, None) == PlaygroundPrompt.validate_inputs(None, text) == str(error.value)
    )


def test_pictures_come_back_from_their_latents() -> None:
    image = shapes()
    latent = VAE.encode(image)
    assert latent.shape == (4, 16, 8, 8)
    again = VAE.decode(latent)
    assert again.shape == image.shape and again.min() >= 0 and again.max() <= 1
    assert (again - image).square().mean().sqrt() < 0.03


def test_plain_ground_is_plain_to_its_edge() -> None:
    ground = torch.tensor([0.85, 0.9, 0.7]).expand(1, 64, 64, 3)
    assert (VAE.decode(VAE.encode(ground)) - ground).abs().max() < 0.02


def test_errors_of_neighbouring_latents_meet_without_a_seam() -> None:
    """Where one latent's window ends, what noise of a tenth adds to a picture jumps no more than elsewhere."""
    noise = 0.1 * torch.randn(64, 16, 8, 8, generator=torch.Generator().manual_seed(1))
    latent = emoji_autoencoder().encode(shapes().movedim(-1, 1)).repeat(16, 1, 1, 1)
    made, plain = (emoji_autoencoder().decode(z)[..., 12:-12] for z in (latent + noise, latent))
    jumps = (made - plain).diff(dim=-1).square().mean((0, 1, 2))
    ends = (torch.arange(12, 12 + len(jumps)) + 1) % 8 == 4  # windows begin at 8 i - 4 and end at 8 i + 12
    assert jumps[ends].mean() < 1.5 * jumps[~ends].mean()


def test_live_preview_shows_the_colours_of_the_picture() -> None:
    image, space = shapes(), SD3()
    latent = space.process_in(VAE.encode(image))
    previewer = Latent2RGBPreviewer(space.latent_rgb_factors, space.latent_rgb_factors_bias)
    for shown, drawn in zip(latent, image.movedim(-1, 1), strict=True):
        preview = np.asarray(previewer.decode_latent_to_preview(shown[None]).convert("RGB")) / 255
        expected = avg_pool2d(drawn, 8).movedim(0, -1).numpy()
        assert np.abs(preview - expected).mean() < 0.03


def emoji(text: str, **sampling: float) -> Prompt:
    """Stock loader, prompt, latent and sampler, decoded and encoded by the host's own nodes and saved."""
    lines = len(text.splitlines())
    settings = {"seed": 5, "steps": 12, "cfg": 2.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    return {
        "model": node("UNETLoader", unet_name="reg_playground_emoji.safetensors", weight_dtype="default"),
        "positive": node("REG_PlaygroundPrompt", text=text, negative=""),
        "latent": node("EmptySD3LatentImage", width=64, height=64, batch_size=lines),
        "k": node(
            "KSampler",
            model=["model", 0],
            positive=["positive", 0],
            negative=["positive", 1],
            latent_image=["latent", 0],
            **settings | sampling,
        ),
        "vae": node("REG_PlaygroundVAE", size=128, model="emoji"),
        "decode": node("VAEDecode", samples=["k", 0], vae=["vae", 0]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="emoji"),
    }


def drawn(server: ComfyServer, prompt: Prompt) -> np.ndarray:
    entries = server.run(prompt)["save"]["images"]
    return np.stack([picture(server, entry) for entry in entries]) / 255


def middle_colour(images: np.ndarray) -> np.ndarray:
    return images[:, 48:80, 48:80].mean((1, 2))


def test_host_draws_what_the_words_say(server: ComfyServer) -> None:
    """Loaded, sampled and decoded by the host's own nodes, a heart has the colour that the prompt names."""
    images = drawn(server, emoji("red heart\nblue heart\ngreen heart\nyellow heart"))
    assert images.shape == (4, 128, 128, 3)
    red, blue, green, yellow = middle_colour(images)
    assert red.argmax() == 0 and blue.argmax() == 2 and green.argmax() == 1 and yellow.argmin() == 2
    assert min(np.ptp(colour) for colour in (red, blue, green, yellow)) > 0.2


def test_image_to_image_keeps_the_picture(server: ComfyServer) -> None:
    """Encoded by the host's VAE Encode and drawn again from other noise, a picture stays, more so at a low denoise."""
    text = "fox\ncar\nbutterfly\npanda"
    first, apart = (drawn(server, emoji(text, seed=seed)) for seed in (5, 6))
    prompt = emoji(text)
    prompt["encode"] = node("VAEEncode", pixels=["decode", 0], vae=["vae", 0])
    prompt["decode again"] = node("VAEDecode", samples=["again", 0], vae=["vae", 0])
    prompt["save"]["inputs"]["images"] = ["decode again", 0]
    strayed = [float(np.abs(apart - first).mean())]
    for denoise in (0.6, 0.2):
        changes = {"latent_image": ["encode", 0], "denoise": denoise, "seed": 6}
        prompt["again"] = node("KSampler", **prompt["k"]["inputs"] | changes)
        strayed.append(float(np.abs(drawn(server, prompt) - first).mean()))
    assert strayed[2] < 0.7 * strayed[1] < 0.5 * strayed[0]


def test_decode_gives_the_pictures_of_either_model() -> None:
    """REG Playground Decode of a saved workflow, which names no model, decodes digits."""
    latent = VAE.encode(shapes())
    samples = {"samples": latent}
    (colour,), (grey,) = (PlaygroundDecode.execute(samples, 64, *model).result for model in (("emoji",), ()))
    assert torch.equal(colour, VAE.decode(latent)) and torch.equal(grey, PixelVAE(64).decode(latent))
    assert torch.equal(grey[..., 0], grey[..., 2]) and not torch.equal(colour[..., 0], colour[..., 2])


@pytest.mark.parametrize("model", list(MODELS))
def test_other_latents_are_refused_with_a_way_out(model: str) -> None:
    for shape in ((1, 4, 8, 8), (16, 8, 8), (0, 16, 8, 8)):
        with pytest.raises(ValueError, match="Use Empty SD3 Latent Image at 64 x 64"):
            PixelVAE(64, model).decode(torch.zeros(shape))
