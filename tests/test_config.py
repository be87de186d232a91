"""Configuration: every mistake is one line that names the key and the value; what is hashed and what is not."""

from pathlib import Path

import pytest

from sae_core.config import InterpretConfig, RunConfig, VisionConfig, dump_yaml, load_config, parse_yaml, science, validate
from sae_core.errors import InputError

CONFIGS = Path(__file__).parents[1] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_config_is_valid_and_survives_a_round_trip(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    (tmp_path / "again.yaml").write_text(dump_yaml(config))
    assert load_config(tmp_path / "again.yaml") == config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data.sketch.nn=3", "unknown key data.sketch.nn"),
        ("sea.width=3", "unknown key sea"),
        ("sae.width=big", "sae.width: Input should be a valid integer (got 'big')"),
        ('sae.width="64"', "sae.width: Input should be a valid integer (got '64')"),
        ("sae.steps=1.5", "sae.steps: Input should be a valid integer (got 1.5)"),
        ("data.sketch.test_fraction=true", "data.sketch.test_fraction: Input should be a valid number (got True)"),
        ("sae.width=8", "k = 16 is above the dictionary size, width = 8"),
        ("sae.architecture={kind: topk, k: 0}", "sae.architecture.k: Input should be greater than or equal to 1 (got 0)"),
        ("sae.architecture={kind: foo}", "Input tag 'foo'"),
        ("sae.domains=[chalk]", "sae.domains names domain 'chalk'; data has sketch, photo"),
        ("steer.edits=[{latent: 1, op: set, value: .nan}]", "steer.edits.0.value: the value of an edit must be finite"),
        ("data.sketch.seed=1000000", "data.sketch.seed: Input should be less than 1000000"),
        ("visualize.latents={ids: [1], strongest: 2}", "give strongest or ids, not both"),
        ("interpret.vocabulary=file", "vocabulary: file and vocabulary_file: PATH go together"),
        ("name=../x", "name: String should match pattern"),
        ("data={}", "give at least one domain"),
        ("data={Sketch: {source: drawn}}", "domain name 'Sketch' must be lower-case"),
        ("sae", "write it as key.subkey=value"),
        ("name.x=3", "name is a single value"),
        ("sae.width=[1", "--set sae.width=[1"),
    ],
)
def test_a_mistake_is_one_line_naming_key_and_value(change: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config(CONFIGS / "demo.yaml", [change])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("data: [", "line 1"),
        ("- a", "holds no mapping"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("name: x", "key data is missing"),
    ],
)
def test_a_broken_file_is_one_line(content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=str(file).replace("\\", "\\\\")) as caught:
        load_config(file)
    assert said in str(caught.value)


def test_a_missing_file_and_a_binary_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no configuration file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load_config(tmp_path / "b.yaml")


def test_numbers_are_yaml_1_2() -> None:
    assert parse_yaml("[1e-3, 2, 2.5, -1E3, .5, 1.]", "x") == [0.001, 2, 2.5, -1000.0, 0.5, 1.0]


def test_paths_are_not_hashed_and_everything_else_is() -> None:
    def of(path: str, fraction: float) -> RunConfig:
        data = {"a": {"source": "folder", "path": path, "test_fraction": fraction}}
        return validate(RunConfig, {"data": data}, "test")

    assert science(of("/x", 0.2)) == science(of("/y", 0.2))
    assert science(of("/x", 0.2)) != science(of("/x", 0.3))


def test_the_short_form_of_one_domain() -> None:
    config = validate(RunConfig, {"data": {"source": "drawn", "rendering": "photo", "domain": "mine"}}, "test")
    assert list(config.data) == ["mine"]
    assert config.train_domains == ("mine",)


def test_settings_without_an_effect_do_not_change_the_key() -> None:
    clip = InterpretConfig(vision=VisionConfig(model="a"))
    assert science(clip) == science(InterpretConfig())
    assert "vision" not in science(clip)
    asked = science(InterpretConfig(method="vision", vision=VisionConfig(model="a")))
    assert asked != science(InterpretConfig(method="vision", vision=VisionConfig(model="b")))
    assert asked == science(InterpretConfig(method="vision", vision=VisionConfig(model="a", cap=9.0)))
