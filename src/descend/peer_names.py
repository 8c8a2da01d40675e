"""What other libraries call the options, for those who come from them."""

from __future__ import annotations

COUNTERPARTS = {
    **dict.fromkeys(("alpha", "penalty", "reg_lambda", "l2_regularization", "lambda_l2"), "l2"),
    **dict.fromkeys(("batch", "minibatch_size", "train_batch_size"), "batch_size"),
    **dict.fromkeys(
        ("cat_features", "categorical_feature", "categorical_features", "enable_categorical"),
        "categorical",
    ),
    **dict.fromkeys(("max_grad_norm", "gradient_clip_val", "clip_norm", "clipnorm"), "clip"),
    **dict.fromkeys(
        ("max_iter", "max_epochs", "n_epochs", "n_iter", "num_epochs", "num_train_epochs"),
        "epochs",
    ),
    **dict.fromkeys(("drop", "drop_columns", "ignored_columns", "ignored_features"), "exclude"),
    **dict.fromkeys(("hidden_layer_sizes", "hidden_units", "layers"), "hidden"),
    **dict.fromkeys(("eta", "eta0", "learning_rate_init", "lr", "step_size"), "learning_rate"),
    **dict.fromkeys(("criterion", "objective", "loss_function"), "loss"),
    **dict.fromkeys(("na_values", "null_values"), "missing"),
    **dict.fromkeys(("optim", "solver"), "optimizer"),
    **dict.fromkeys(("early_stopping_rounds", "n_iter_no_change"), "patience"),
    **dict.fromkeys(("lr_schedule", "lr_scheduler", "lr_scheduler_type", "scheduler"), "schedule"),
    **dict.fromkeys(("random_seed", "random_state", "rng"), "seed"),
    **dict.fromkeys(("label", "label_column", "label_name", "y_col"), "target"),
    **dict.fromkeys(("max_time", "time_limit", "timeout"), "time_budget"),
    **dict.fromkeys(("test_size", "validation_fraction", "validation_split"), "validation"),
    **dict.fromkeys(("warmup_ratio", "warmup_steps"), "warmup"),
    **dict.fromkeys(("sample_weight", "weight_column", "weights"), "weight"),
    **dict.fromkeys(("class_weights", "auto_class_weights", "scale_pos_weight"), "class_weight"),
    **dict.fromkeys(("sep",), "delimiter"),
    **dict.fromkeys(("skiprows", "skip_rows"), "skip_lines"),
}
"""Names of other libraries, and the option that means the same here."""

HELD_OUT = ("eval_set", "eval_data", "valid_sets", "validation_set", "validation_data", "X_val")
"""What other libraries call rows that are held out for validation."""

ABSENT = {
    "C": "a penalty is l2, about 1/(C·rows)",
    "n_jobs": "it uses all processors",
    "n_estimators": "it trains one network; epochs says how long",
    "tol": "patience, in evaluations, says when training stops",
    "verbose": "quiet=False shows progress",
    "shuffle": "each epoch has an order of its own",
    "device": "the environment variable JAX_PLATFORMS chooses it",
    "num_workers": "rows are read ahead by themselves",
    "eval_metric": "the loss over the validation rows decides",
    **dict.fromkeys(
        ("steps", "steps_per_epoch", "max_steps", "limit_train_batches"),
        "epochs says how long, stop=lambda evaluation: evaluation.update >= 1000 ends training "
        "after so many updates, and itertools.islice(iterator, chunks) limits an iterator",
    ),
    **dict.fromkeys(
        ("loss_weights", "loss_weight"),
        "loss={'price': ('squared_error', 0.5)} has the weight beside the loss of each output",
    ),
    **dict.fromkeys(
        (
            *("accumulate_grad_batches", "gradient_accumulation_steps", "accumulation_steps"),
            *("accumulation", "grad_accumulation", "micro_batch_size", "microbatch_size"),
        ),
        "a larger batch_size; where one does not fit in memory its gradient is added up in parts",
    ),
    **dict.fromkeys(
        ("dtype", "precision", "mixed_precision", "fp16", "bf16"),
        "fit takes precision='bfloat16' or 'float16' for custom models; the models for tables "
        "compute in 32 bits",
    ),
    **dict.fromkeys(
        ("reduction", "size_average"),
        "a loss is one number for each row, and the mean over the batch is taken",
    ),
    "early_stopping": "patience, in evaluations, says when training stops, and one larger than the "
    "evaluations of a run turns that off",
    **dict.fromkeys(
        ("restore_best_weights", "save_best_only", "load_best_model_at_end"),
        "the weights of the lowest validation loss are kept; a callback gets those of every "
        "evaluation, the last included, as evaluation.params",
    ),
    "from_logits": "outputs are log-odds, and a last layer that is a sigmoid or softmax is noticed",
    "dropout": "l2, weight_decay and averaging are what it has against overfitting",
}
"""Names of other libraries that have no counterpart, and what there is instead."""

LOSS_ALIASES = {
    "squared_error": ("mse", "mean_squared_error", "l2", "squared", "squared_loss", "mse_loss"),
    "absolute_error": ("mae", "mean_absolute_error", "l1", "l1_loss", "absolute"),
    "huber": ("huber_loss", "smooth_l1", "smooth_l1_loss"),
    "poisson": ("poisson_nll", "poisson_nll_loss", "poisson_loss"),
    "cross_entropy": (
        *("log_loss", "log", "nll", "ce", "cross_entropy_loss", "softmax_cross_entropy"),
        *("categorical_crossentropy", "sparse_categorical_crossentropy", "crossentropy"),
    ),
    "hinge": ("hinge_loss", "margin", "multi_margin_loss", "categorical_hinge"),
    "quantile": ("pinball", "pinball_loss", "quantile_loss"),
    "binary_cross_entropy": ("bce", "binary_crossentropy", "bce_with_logits_loss", "bce_loss"),
}
"""Other names of each loss."""


def plain_name(name: object) -> str:
    """A name without what is no letter or digit, in lower case: MSE_loss becomes mseloss."""
    return "".join(letter for letter in str(name).lower() if letter.isalnum())


LOSS_NAMES = {
    plain_name(alias): name for name, aliases in LOSS_ALIASES.items() for alias in (name, *aliases)
}
"""The name of each loss by its plain aliases."""
