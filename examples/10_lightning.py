"""Lightning: the batch size and the learning rate for a LightningModule, then its own Trainer.

`descend.torch.advise` calls the module's training step, so whatever that does is measured. The
module, its mode and the random state stay as they are.
"""

from __future__ import annotations

import logging
import warnings

import lightning
import torch
from sklearn.datasets import load_digits

from descend.torch import advise


class Digits(lightning.LightningModule):
    def __init__(self, learning_rate=1e-3):
        super().__init__()
        self.learning_rate = learning_rate
        self.network = torch.nn.Sequential(
            torch.nn.Linear(64, 64),
            torch.nn.BatchNorm1d(64),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(64, 10),
        )

    def forward(self, pixels):
        return self.network(pixels)

    def training_step(self, batch, batch_idx):
        pixels, digits = batch
        loss = torch.nn.functional.cross_entropy(self(pixels), digits)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate)


def main(budget=10.0):
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    torch.manual_seed(0)
    digits = load_digits()
    pixels = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    target = torch.tensor(digits.target)
    training = torch.utils.data.TensorDataset(pixels[:1500], target[:1500])
    module = Digits()

    advice = advise(
        module,
        None,
        torch.utils.data.DataLoader(training, batch_size=32),
        step=lambda module, batch: module.training_step(batch, 0),
        optimizer=torch.optim.AdamW,
        budget=budget,
    )
    print(f"batch size {advice.batch_size}, learning rate {advice.learning_rate:g}")

    module.learning_rate = advice.learning_rate
    loader = torch.utils.data.DataLoader(training, batch_size=advice.batch_size, shuffle=True)
    trainer = lightning.Trainer(
        max_epochs=10,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)
    module.eval()
    with torch.no_grad():
        found = module(pixels[1500:]).argmax(dim=1)
    accuracy = float((found == target[1500:]).float().mean())
    print(f"digits read correctly, of those not trained on: {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
