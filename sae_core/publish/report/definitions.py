"""How each number is defined, so that it can be held against another's."""

from __future__ import annotations

from sae_core.publish.report.html import Markup, esc, section
from sae_core.publish.report.material import Material

TERMS = {
    "Paired zero-shot accuracy": "Each held-out image is classified by its CLIP embedding x and by the dictionary's "
    "reconstruction x̂, with the same class prompts: the class of the largest cosine. The difference is accuracy of x̂ "
    "minus accuracy of x on the same images; its interval is a percentile bootstrap that resamples near-duplicate groups "
    "together; p is McNemar's exact test on the images that flip.",
    "Accuracy alone": "Its interval is Wilson's, which takes images as independent: near-duplicates make it too short. The "
    "paired interval does not have that fault.",
    "Controls": "Mean ablation replaces every embedding by the held-out mean. PCA keeps as many components as the "
    "dictionary has latents an image (L0, rounded). The random dictionary is TopK at the same L0 over as many random "
    "directions, of which only the encoder is trained. Both are fitted on the training rows of the domains the dictionary "
    'was trained on. "CLIP+SAE ahead" is its accuracy less the control\'s on the same images.',
    "Caption recall@k": "Share of images whose own caption is among the k nearest of all distinct captions.",
    "L0": "Mean number of latents with z > 0 an image.",
    "R² (centred)": "1 - Σ‖x - x̂‖² / Σ‖x - x̄‖², x̄ the vector mean of the evaluated rows. The uncentred one divides by "
    "Σ‖x‖² and is flattering: some papers print it under the same name.",
    "Dead, almost dead, dense": "Share of latents that fire on no image, on fewer than 1 in 10,000 (dead ones included), on "
    "more than 10 % of the images named.",
    "MS (monosemanticity)": "Mean cosine of pairs of images, weighted by the product of a latent's activations on both, "
    "each scaled to 0 to 1. Judged by the encoder the dictionary was trained on it is circular. The reference level is the "
    "same with codes and images shuffled against each other.",
    "CKNNA": "Agreement of the nearest neighbours among x with those among x̂, in batches; it depends on k and on the batch.",
    "Class probe": "A logistic regression trained on x of training images, asked about held-out x and x̂.",
    "Sparse probes": "AUROC (and balanced accuracy) of telling one class from all others by its k best latents, or k best "
    "raw dimensions, chosen on training images; mean over classes. Chance is the same with shuffled labels.",
    "Geometric and semantic effect": "Geometric: how strongly a latent follows a stroke measure among images of one class "
    "(rank correlation, permutations within classes). Semantic: how strongly it follows class beyond what all stroke "
    "measures explain. Both from 0 to 1 with chance taken out. A verdict needs a false-discovery rate of at most alpha and "
    "at least the smallest effect. The random dictionary beside it is not trained at all.",
    "Domain shift": "A latent belongs to one domain when its firing rate there is more than ten times that in the other, "
    "beyond the 95 % interval of the ratio (half a row added to each side); what chance could explain is shared.",
    "Seed stability": "Mean cosine of the alive decoder directions of two seeds, matched one to one (Hungarian); MMCS is "
    "the mean of each direction's largest cosine, not one to one.",
    "Name score": "On images naming has not seen. Offline: area under the ROC curve of telling images that fire a latent from "
    "others by their cosine with its name; the same CLIP gave the names: consistency, not proof. By a vision model: its balanced "
    "accuracy at telling them apart when it reads the name.",
}


def definitions(material: Material) -> Markup:
    """The section, the same in every report."""
    lines = "".join(f"<dt>{esc(term)}</dt><dd>{esc(said)}</dd>" for term, said in TERMS.items())
    return section("definitions", "How each number is defined", Markup(f"<dl>{lines}</dl>"))
