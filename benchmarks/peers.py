"""The peers' trainers, for the workers' protocol: `python -m benchmarks.peers`, run by the peers' own python.

Every peer is driven through its package's own trainer class and update step, named in its docstring; what is written here only
feeds it and asks for its codes. The packages draw first weights from torch's global generator, which is therefore seeded.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.protocol import Frozen, Job, Trainee, main

WARMUP, DECAY = 0.05, 0.8
"""Shares of the steps that `tuned` runs warm up to and decay from, where the package offers it."""
GROUPS = [0.0625, 0.1875, 0.25, 0.5]
"""Matryoshka groups, as shares of the dictionary: ours by default, so that both compute the same."""


class DictionaryLearning(Trainee):
    """dictionary_learning: `trainer.update(step, x)` of its trainer classes, as its `trainSAE` loop calls it."""

    kind = "TopK"

    @classmethod
    def offers(cls, device: str) -> list[dict[str, Any]]:
        # trainSAE turns autocast on for CUDA only.
        return [{"precision": "fp32"}, *([{"precision": "bf16"}] if device == "cuda" else [])]

    def __init__(self, job: Job, rows: Tensor) -> None:
        super().__init__(job, rows)
        extra: dict[str, Any] = {}
        if self.kind == "TopK":
            from dictionary_learning.trainers.top_k import TopKTrainer as Trainer
        elif self.kind == "BatchTopK":
            from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer as Trainer
        else:
            from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer as Trainer

            extra["group_fractions"] = GROUPS
        self.trainer = Trainer(
            steps=job.steps,
            activation_dim=self.d,
            dict_size=job.m,
            k=job.k,
            layer=0,
            lm_name="embeddings",
            lr=job.lr,
            # Its 1,000 steps of warm-up, and 1,000 before the threshold is learned, do not fit into a short run.
            warmup_steps=job.after(WARMUP, 1000),
            decay_start=int(DECAY * job.steps) if job.tuned and job.steps >= 20 else None,
            threshold_start_step=job.after(0.5, 1000),
            seed=job.seed,
            device=job.device,
            **extra,
        )
        self.lr = self.trainer.lr

    def step(self, x: Tensor) -> None:
        bf16 = self.job.setting["precision"] == "bf16"
        with torch.autocast(self.job.device, torch.bfloat16) if bf16 else contextlib.nullcontext():
            self.trainer.update(self.done, x)

    def frozen(self) -> Frozen:
        return lambda x: self.trainer.ae(x, output_features=True)

    def decoder(self) -> Tensor:
        ae = self.trainer.ae
        return ae.W_dec if hasattr(ae, "W_dec") else ae.decoder.weight.T


class DictionaryLearningBatch(DictionaryLearning):
    kind = "BatchTopK"


class DictionaryLearningMatryoshka(DictionaryLearning):
    kind = "Matryoshka"


class SaeLens(Trainee):
    """sae-lens: the loop of `SAETrainer.fit` through its public `maybe_reset_sparsity` and `step`; evaluated on what it saves."""

    batch = False

    @classmethod
    def offers(cls, device: str) -> list[dict[str, Any]]:
        dense = [{"precision": "fp32", "sparse": False}, {"precision": "bf16", "sparse": False}]
        return dense if cls.batch else [*dense, {"precision": "fp32", "sparse": True}]

    def __init__(self, job: Job, rows: Tensor) -> None:
        super().__init__(job, rows)
        from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, TopKTrainingSAE, TopKTrainingSAEConfig
        from sae_lens.config import LoggingConfig, SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        torch.manual_seed(job.seed)
        common = {"d_in": self.d, "d_sae": job.m, "k": job.k, "device": job.device}
        if self.batch:
            sae: Any = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**common))
        else:
            # Its sparse activations fail in backward together with its rescaling, which is on by default.
            sparse = job.setting["sparse"]
            options = {"use_sparse_activations": sparse, "rescale_acts_by_decoder_norm": not sparse}
            sae = TopKTrainingSAE(TopKTrainingSAEConfig(**common, **options))
        self.lr = 3e-4 if job.lr is None else job.lr
        config = SAETrainerConfig(
            total_training_samples=job.steps * job.batch,
            train_batch_size_samples=job.batch,
            lr=self.lr,
            lr_end=self.lr / 10,  # as its runner sets it
            lr_warm_up_steps=int(WARMUP * job.steps) if job.tuned else 0,
            lr_decay_steps=int((1 - DECAY) * job.steps) if job.tuned else 0,
            device=job.device,
            autocast=job.setting["precision"] == "bf16",
            logger=LoggingConfig(log_to_wandb=False),
        )
        self.trainer = SAETrainer(config, sae, iter(()))

    def step(self, x: Tensor) -> None:
        self.trainer.maybe_reset_sparsity()
        self.trainer.step(x)
        self.trainer.n_training_steps += 1

    def frozen(self) -> Frozen:
        from sae_lens import SAE

        with tempfile.TemporaryDirectory() as folder:
            self.trainer.sae.save_inference_model(folder)
            sae = SAE.load_from_disk(folder, device=self.job.device)

        def run(x: Tensor) -> tuple[Tensor, Tensor]:
            z = sae.encode(x)
            return sae.decode(z), z

        return run

    def decoder(self) -> Tensor:
        return self.trainer.sae.W_dec


class SaeLensBatch(SaeLens):
    batch = True


class Overcomplete(Trainee):
    """overcomplete: its `train_sae` (or `train_sae_amp`) over each turn's batches, with the README's loss and optimiser."""

    @classmethod
    def offers(cls, device: str) -> list[dict[str, Any]]:
        return [{"precision": "fp32"}, {"precision": "amp"}]

    def __init__(self, job: Job, rows: Tensor) -> None:
        super().__init__(job, rows)
        from overcomplete.sae import TopKSAE
        from overcomplete.sae.optimizer import CosineScheduler

        torch.manual_seed(job.seed)
        self.sae = TopKSAE(self.d, nb_concepts=job.m, top_k=job.k, device=job.device)
        self.lr = 5e-4 if job.lr is None else job.lr
        self.optimizer = torch.optim.Adam(self.sae.parameters(), lr=self.lr)
        self.scheduler = None
        if job.tuned:
            self.scheduler = CosineScheduler(self.optimizer, self.lr, 0.0, job.steps, warmup_iters=int(WARMUP * job.steps))
            self.optimizer.param_groups[0]["lr"] = float(self.scheduler[0])  # it sets the rate from its second step on

    def fit(self, ids: Iterable[Tensor]) -> None:
        from overcomplete.sae.train import train_sae, train_sae_amp

        def mse(x: Tensor, x_hat: Tensor, pre_codes: Tensor, codes: Tensor, dictionary: Tensor) -> Tensor:
            return (x - x_hat).square().mean()

        train = train_sae if self.job.setting["precision"] == "fp32" else train_sae_amp
        batches = (self.rows[batch] for batch in ids)
        train(self.sae, batches, mse, self.optimizer, self.scheduler, nb_epochs=1, monitoring=0, device=self.job.device)

    def frozen(self) -> Frozen:
        self.sae.eval()

        def run(x: Tensor) -> tuple[Tensor, Tensor]:
            _, z, x_hat = self.sae(x)
            return x_hat, z

        return run

    def decoder(self) -> Tensor:
        return self.sae.get_dictionary()


class RowTable(nn.Module):
    """What sparsify takes for a language model: token ids are row numbers, and its one layer's output is those rows."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = nn.Embedding.from_pretrained(rows)
        self.device = rows.device
        self.dummy_inputs = {"input_ids": torch.zeros(1, 1, dtype=torch.long)}

    @property
    def base_model(self) -> RowTable:
        return self

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.rows(input_ids)  # type: ignore[no-any-return]


class Turn(torch.utils.data.Dataset[dict[str, Tensor]]):
    """One turn's sequences [n, t] of row numbers, after `skipped` sequences of earlier turns."""

    def __init__(self, ids: Tensor, skipped: int) -> None:
        self.ids, self.skipped = ids, skipped

    def __len__(self) -> int:
        return self.skipped + len(self.ids)

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        return {"input_ids": self.ids[place - self.skipped]}

    def select(self, places: range) -> Turn:
        assert places == range(self.skipped, len(self))
        return Turn(self.ids, 0)


class Sparsify(Trainee):
    """eai-sparsify: its `Trainer.fit` once a turn, resuming where the last turn stopped; only its checkpoints are left out."""

    @classmethod
    def offers(cls, device: str) -> list[dict[str, Any]]:
        # bf16 autocast is built in on CUDA and absent on the CPU.
        return [{"optimizer": "signum"}, {"optimizer": "adam"}]

    def __init__(self, job: Job, rows: Tensor) -> None:
        super().__init__(job, rows)
        if job.device == "cpu":
            os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
        from sparsify import SparseCoderConfig, TrainConfig, Trainer

        class Unsaved(Trainer):
            def save(self) -> None:
                """Writing checkpoints is no part of a training step."""

        self.length = math.gcd(job.batch, 64)  # rows a "sequence"
        config = TrainConfig(
            SparseCoderConfig(num_latents=job.m, k=job.k),
            batch_size=job.batch // self.length,
            optimizer=job.setting["optimizer"],
            lr=job.lr,
            lr_warmup_steps=job.after(WARMUP, 1000),
            hookpoints=["rows"],
            init_seeds=[job.seed],
            log_to_wandb=False,
        )
        blank = torch.zeros(job.steps * config.batch_size, 0, dtype=torch.long)
        self.trainer = Unsaved(config, Turn(blank, 0), RowTable(rows))
        (self.sae,) = self.trainer.saes.values()
        group = self.trainer.optimizers[0].param_groups[0]
        self.lr = float(group.get("initial_lr", group["lr"]))

    def fit(self, ids: Iterable[Tensor]) -> None:
        sequences = torch.cat(list(ids)).view(-1, self.length).cpu()
        self.trainer.dataset = Turn(sequences, self.trainer.global_step * self.trainer.cfg.batch_size)
        self.trainer.fit()

    def frozen(self) -> Frozen:
        # As its checkpoints do: the schedule-free optimiser's averaged weights.
        for optimizer in self.trainer.optimizers:
            if hasattr(optimizer, "eval"):
                optimizer.eval()

        def run(x: Tensor) -> tuple[Tensor, Tensor]:
            out = self.sae(x)
            z = torch.zeros(len(x), self.job.m, device=x.device)
            return out.sae_out, z.scatter_(1, out.latent_indices, out.latent_acts.float())

        return run

    def decoder(self) -> Tensor:
        return self.sae.W_dec


class Seed(Trainee):
    """The student project this grew out of: ReLU + L1, two linear layers, a decoder that is normalised once and never trained."""

    def __init__(self, job: Job, rows: Tensor) -> None:
        super().__init__(job, rows)
        torch.manual_seed(job.seed)
        self.encoder = nn.Linear(self.d, job.m, device=job.device)
        self.decode = nn.Linear(job.m, self.d, device=job.device)
        weight = self.decode.weight
        weight.data /= weight.data.norm(dim=0, keepdim=True)
        weight.requires_grad_(False)
        self.trained = [self.encoder.weight, self.encoder.bias, self.decode.bias]
        self.lr = 3e-4 if job.lr is None else job.lr
        self.optimizer = torch.optim.AdamW(self.trained, lr=self.lr)

    def step(self, x: Tensor) -> None:
        z = torch.relu(self.encoder(x))
        loss = nn.functional.mse_loss(self.decode(z), x) + 1e-3 * z.abs().sum(1).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()

    def frozen(self) -> Frozen:
        def run(x: Tensor) -> tuple[Tensor, Tensor]:
            z = torch.relu(self.encoder(x))
            return self.decode(z), z

        return run

    def decoder(self) -> Tensor:
        return self.decode.weight.T


PEERS: dict[str, type[Trainee]] = {
    "dictionary_learning/topk": DictionaryLearning,
    "dictionary_learning/batch_topk": DictionaryLearningBatch,
    "dictionary_learning/matryoshka": DictionaryLearningMatryoshka,
    "sae_lens/topk": SaeLens,
    "sae_lens/batch_topk": SaeLensBatch,
    "overcomplete/topk": Overcomplete,
    "sparsify/topk": Sparsify,
    "seed/relu_l1": Seed,
}
PACKAGES = ("torch", "dictionary-learning", "sae-lens", "overcomplete", "eai-sparsify")


if __name__ == "__main__":
    main(PEERS)
