"""Other open programs that make sound from text, as networks of their published sizes with random weights.

Each function takes the seconds of sound and the threads, and gives a line on its settings and the parts of a `Peer`.
Guidance doubles the batch of every denoising step, as in their pipelines. The text encoders of the diffusion models
run once a sound and are left out, which is in favour of those models. Each raises ImportError without its package.
"""

from __future__ import annotations

import math

MELS, MEL_RATE = 64, 100  # of AudioLDM: bands, frames a second
LATENT_RATE = 44100 / 2048  # of Stable Audio

# As the conversion scripts of diffusers have them (audioldm-s-full-v2, audioldm2).
_UNET = {
    "in_channels": 8, "out_channels": 8, "layers_per_block": 2, "block_out_channels": (128, 256, 384, 640),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}  # fmt: skip
_VAE = {
    "in_channels": 1, "out_channels": 1, "latent_channels": 8, "layers_per_block": 2,
    "block_out_channels": (128, 256, 512), "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
}  # fmt: skip
_VOCODER = {
    "model_in_dim": MELS, "sampling_rate": 16000, "upsample_initial_channel": 1024, "upsample_rates": (5, 4, 2, 2, 2),
    "upsample_kernel_sizes": (16, 16, 8, 4, 4), "normalize_before": False,
}  # fmt: skip
AUDIOLDM = {
    "unet": _UNET | {
        "cross_attention_dim": (128, 256, 384, 640), "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": 512, "class_embeddings_concat": True,
    },
    "vae": _VAE, "vocoder": _VOCODER, "steps": 10,
}  # fmt: skip
AUDIOLDM2 = {
    "unet": _UNET | {"cross_attention_dim": ((None, 768, 1024),) * 4},
    "vae": _VAE, "vocoder": _VOCODER, "steps": 200,
}  # fmt: skip
STABLE_AUDIO = {"transformer": {}, "autoencoder": {}, "steps": 100}  # the defaults of diffusers are the published ones
MUSICGEN = {
    "decoder": {},  # the defaults of transformers are those of musicgen-small
    "text": {
        "d_model": 768, "d_ff": 3072, "d_kv": 64, "num_layers": 12, "num_heads": 12, "feed_forward_proj": "relu",
    },
    "audio": {
        "sampling_rate": 32000, "audio_channels": 1, "num_filters": 64, "upsampling_ratios": (8, 5, 4, 4),
        "target_bandwidths": (2.2,), "codebook_size": 2048, "codebook_dim": 128, "normalize": False,
        "use_causal_conv": False, "use_conv_shortcut": False, "num_residual_layers": 1, "kernel_size": 7,
    },
}  # fmt: skip


def audioldm(seconds: float, threads: int, sizes: dict = AUDIOLDM):
    """AudioLDM (arXiv 2301.12503), the small one, with the steps its pipeline takes unless told otherwise."""
    import torch
    from diffusers import UNet2DConditionModel

    torch.set_num_threads(threads)
    unet = UNet2DConditionModel(**sizes["unet"]).eval()
    latent = _latent(seconds, sizes)
    label = torch.randn(2, sizes["unet"]["projection_class_embeddings_input_dim"])

    @torch.inference_mode()
    def step():
        unet(latent, 500, encoder_hidden_states=None, class_labels=label)

    return _diffusion("audioldm-s-full-v2", step, latent, sizes)


def audioldm2(seconds: float, threads: int, sizes: dict = AUDIOLDM2):
    """AudioLDM 2 (arXiv 2308.05734), with the steps its pipeline takes unless told otherwise."""
    import torch
    from diffusers import AudioLDM2UNet2DConditionModel

    torch.set_num_threads(threads)
    unet = AudioLDM2UNet2DConditionModel(**sizes["unet"]).eval()
    latent = _latent(seconds, sizes)
    _, first, second = sizes["unet"]["cross_attention_dim"][0]
    generated, text = torch.randn(2, 8, first), torch.randn(2, 32, second)

    @torch.inference_mode()
    def step():
        unet(latent, 500, encoder_hidden_states=generated, encoder_hidden_states_1=text)

    return _diffusion("audioldm2", step, latent, sizes)


def stable_audio(seconds: float, threads: int, sizes: dict = STABLE_AUDIO):
    """Stable Audio Open (arXiv 2407.14358), whose pipeline makes its whole window, 47 s, whatever is asked for."""
    import torch
    from diffusers import AutoencoderOobleck, StableAudioDiTModel

    torch.set_num_threads(threads)
    transformer = StableAudioDiTModel(**sizes["transformer"]).eval()
    autoencoder = AutoencoderOobleck(**sizes["autoencoder"]).eval()
    config = transformer.config
    windows = math.ceil(seconds * LATENT_RATE / config.sample_size)
    latent = torch.randn(2, config.in_channels, config.sample_size)
    text = torch.randn(2, 130, config.cross_attention_input_dim)
    duration = torch.randn(2, 1, config.global_states_input_dim)

    @torch.inference_mode()
    def step():
        transformer(latent, torch.tensor([0.5]), encoder_hidden_states=text, global_hidden_states=duration)

    @torch.inference_mode()
    def decode():
        autoencoder.decode(latent[:1])

    settings = f"stable-audio-open-1.0, {sizes['steps']} steps, whole window"
    return settings, [("transformer", step, windows * sizes["steps"]), ("decoder", decode, windows)]


def musicgen(seconds: float, threads: int, sizes: dict = MUSICGEN):
    """MusicGen (arXiv 2306.05284), the small one: the whole of its `generate`."""
    import torch
    from transformers import EncodecConfig, MusicgenConfig, MusicgenForConditionalGeneration, T5Config
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

    torch.set_num_threads(threads)
    audio = EncodecConfig(**sizes["audio"])
    text, decoder = T5Config(**sizes["text"]), MusicgenDecoderConfig(**sizes["decoder"])
    model = MusicgenForConditionalGeneration(
        MusicgenConfig(text_encoder=text.to_dict(), audio_encoder=audio.to_dict(), decoder=decoder.to_dict())
    ).eval()
    prompt = torch.arange(1, 9)[None]
    tokens = math.ceil(seconds * audio.sampling_rate / math.prod(audio.upsampling_ratios))
    start = decoder.bos_token_id

    @torch.inference_mode()
    def generate():
        model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), guidance_scale=3.0, do_sample=True,
            min_new_tokens=tokens, max_new_tokens=tokens, decoder_start_token_id=start, pad_token_id=start,
            bos_token_id=start,
        )  # fmt: skip

    return f"musicgen-small, {tokens} tokens", [("everything", generate, 1)]


def _latent(seconds: float, sizes: dict):
    """The noise of two items that denoising starts from, padded to what the U-Net can halve."""
    import torch

    scale = 2 ** (len(sizes["vae"]["block_out_channels"]) - 1)
    halvings = 2 ** (len(sizes["unet"]["block_out_channels"]) - 1)
    frames = math.ceil(seconds * MEL_RATE / scale / halvings) * halvings
    return torch.randn(2, sizes["unet"]["in_channels"], frames, MELS // scale)


def _diffusion(name: str, step, latent, sizes: dict):
    """Settings and parts of AudioLDM and its successor: denoising steps, decoder of the mel, vocoder."""
    import torch
    from diffusers import AutoencoderKL
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    vae = AutoencoderKL(**sizes["vae"]).eval()
    vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(**sizes["vocoder"])).eval()
    scale = 2 ** (len(sizes["vae"]["block_out_channels"]) - 1)
    mel = torch.randn(1, latent.shape[2] * scale, MELS)

    @torch.inference_mode()
    def decode():
        vae.decode(latent[:1])

    @torch.inference_mode()
    def vocode():
        vocoder(mel)

    parts = [("u-net", step, sizes["steps"]), ("decoder", decode, 1), ("vocoder", vocode, 1)]
    return f"{name}, {sizes['steps']} steps", parts


PEERS = {"AudioLDM": audioldm, "AudioLDM 2": audioldm2, "Stable Audio Open": stable_audio, "MusicGen": musicgen}
