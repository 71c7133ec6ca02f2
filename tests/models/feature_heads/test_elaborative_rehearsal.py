from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

from ost_lightning.models.feature_heads import ElaborativeRehearsal, rehearsal_loss

VECTORS = load_file(Path(__file__).parent / "er_zsar.safetensors")
"""Weights, inputs, outputs and gradients of the authors' code, with a tiny random BERT."""
NAMES = {
    "vis_encoder.ft_embed.": "video.",
    "txt_encoder.ft_embed.": "text.",
    "txt_backbone.bert.": "text_model.",
    "act_gate_fc.": "action_gate.",
    "obj_gate_fc.": "object_gate.",
}


def ours(name: str) -> str:
    prefix = next(prefix for prefix in NAMES if name.startswith(prefix))
    return NAMES[prefix] + name.removeprefix(prefix)


@pytest.fixture(scope="module")
def head() -> ElaborativeRehearsal:
    """The head with the weights of the vectors."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    text = BertModel(BertConfig(vocab_size=70, max_position_embeddings=32, **sizes))
    made = ElaborativeRehearsal(36, text, width=24).eval()
    weights = {ours(name[6:]): weight.float() for name, weight in VECTORS.items() if name.startswith("state.")}
    made.load_state_dict(weights)
    return made


def embedded(head: ElaborativeRehearsal) -> dict[str, torch.Tensor]:
    texts = {
        key: head.embed_texts(VECTORS[f"in.{key}_ids"].long(), VECTORS[f"in.{key}_masks"].long())
        for key in ("txt", "vis_cpt", "er_cpt")
    }
    actions, objects = head.gate(head.embed_videos(VECTORS["in.vis_fts"]), texts["vis_cpt"])
    return {"actions": actions, "objects": objects, "classes": texts["txt"], "concepts": texts["er_cpt"]}


def test_embeddings_and_scores_are_those_of_the_authors(head: ElaborativeRehearsal) -> None:
    found = embedded(head)
    expected = {"actions": "video", "objects": "object", "classes": "text", "concepts": "concept"}
    for name, key in expected.items():
        torch.testing.assert_close(found[name], VECTORS[f"out.{key}_embedding"], rtol=1e-5, atol=1e-6)
    scores = head.scores(found["actions"], found["objects"], found["classes"])
    torch.testing.assert_close(scores, VECTORS["out.scores"], rtol=1e-5, atol=1e-6)
    assert int((VECTORS["out.object_scores"] < 0).sum()) > 0  # so that the clamp matters


def test_loss_and_gradients_are_those_of_the_authors(head: ElaborativeRehearsal) -> None:
    head.zero_grad()
    found = embedded(head)
    loss = rehearsal_loss(**found, labels=VECTORS["in.targets"].long(), own=VECTORS["in.er_cpt_ml_targets"].bool())
    torch.testing.assert_close(loss, VECTORS["out.loss"], rtol=1e-5, atol=0)
    loss.backward()
    gradients = {name: weight.grad for name, weight in head.named_parameters()}
    tested = [key.removeprefix("grad.") for key in VECTORS if key.startswith("grad.")]
    assert len(tested) == 4
    for name in tested:
        expected = VECTORS[f"grad.{name}"]
        assert float((gradients[ours(name)] - expected).norm()) <= 1e-4 * float(expected.norm()), name


def test_only_the_last_two_layers_of_the_text_model_are_trained() -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 1, "intermediate_size": 8}
    head = ElaborativeRehearsal(5, BertModel(BertConfig(vocab_size=10, **sizes)), width=6)
    frozen = {name for name, weight in head.named_parameters() if not weight.requires_grad}
    assert frozen == {
        name
        for name, _ in head.named_parameters()
        if name.startswith(("text_model.embeddings", "text_model.encoder.layer.0.", "text_model.encoder.layer.1."))
    }
