"""Sentences of other programs as prompt sets."""

from __future__ import annotations

import json

import pytest

from ke2nt.errors import PromptError
from ke2nt.prompts.import_sentences import DESCRIPTOR_TEMPLATE, import_sentences
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.prompts.sentence_files import read_sentences

FOUND = {"Happy": ["a  smile", "raised cheeks"], "fear": ["wide eyes"]}
READ = {"Happy": ["a smile", "raised cheeks"], "fear": ["wide eyes"]}


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(FOUND)),
        ("a.json", "\ufeff" + json.dumps({**FOUND, "fear": "wide eyes"})),
        ("a.json", json.dumps({"Happy": {"q": FOUND["Happy"]}, "fear": {"q": "wide eyes"}})),
        ("a.csv", "class,sentence\nHappy,a  smile\nHappy,raised cheeks\n\nfear,wide eyes\n"),
        (
            "a.csv",
            "id;Prompt;Label\r\n1;a smile;Happy\r\n2;raised cheeks;Happy\r\n3;wide eyes;fear",
        ),
        ("a.tsv", 'class\tdescriptor\nHappy\t"a\nsmile"\nHappy\traised cheeks\nfear\twide eyes'),
        (
            "a.csv",
            "class,text\nHappy,a smile\nHappy,raised cheeks\nfear,wide eyes".encode("utf-16"),
        ),
    ],
)
def test_forms_that_are_read(tmp_path, name, content):
    assert read_sentences(write(tmp_path, name, content)) == READ


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '{"fear": [\n"a" "b"]}', r"not valid JSON: .*line 2, column 5"),
        ("a.json", '{"a": ["x"],\n  "a": ["y"]}', r"'a' is there twice.*line 2, column 3"),
        ("a.json", '{"a": ["x", " "]}', r"a sentence is empty.*class 'a', entry 2"),
        ("a.json", '{"a": {"why": ["x", 3]}}', r"is not text.*question 'why', entry 2.*found 3"),
        ("a.json", '{"a": 5}', r"not a list of sentences.*class 'a'.*found 5"),
        ("a.json", '["x"]', r"not a file of sentences.*found a list"),
        ("a.json", "{}", "there are no sentences"),
        ("a.json", "[" * 9000, "nested too deeply"),
        ("a.csv", "class,sentnce\na,b", r"no column of sentences.*line 1.*[Ss]entence"),
        ("a.csv", "class,label,sentence\na,b,c", r"more than one column of classes"),
        ("a.csv", "class,sentence\na,b\nc", r"a row is too short.*line 3.*found 1"),
        ("a.csv", "class,sentence\n,b", r"the class is empty.*line 2, column 1"),
        ("a.csv", "class,sentence\na,  ", r"a sentence is empty.*line 2, column 2"),
        ("a.csv", 'class,sentence\na,"b', r"not valid CSV.*line 2"),
        ("a.csv", b"class,sentence\na,\xff\xff", r"not UTF-8.*line 2.*0xff"),
        ("a.csv", "class,sentence\n", "there are no sentences"),
        ("a.txt", "x", r"kind of file.*\.json, \.csv"),
    ],
)
def test_files_that_are_refused(tmp_path, name, content, message):
    with pytest.raises(PromptError, match=message) as error:
        read_sentences(write(tmp_path, name, content))
    assert "\n" not in str(error.value)


def test_absent_file(tmp_path):
    with pytest.raises(PromptError, match="cannot read the file"):
        read_sentences(tmp_path / "nope.json")


def test_class_words_are_those_of_the_datasets(tmp_path):
    sentences = {
        "Joy": ["a smile"],
        "neutral": ["no expression"],
        "suprise": ["oh"],
        "bored": ["b"],
    }
    path = write(tmp_path, "my words.json", json.dumps(sentences))
    imported = import_sentences(path)
    assert imported.prompts.class_names == ("happiness", "neutral", "suprise", "bored")
    assert imported.renamed == {"Joy": "happiness"}
    assert imported.prompts.name == "my_words"
    assert imported.prompts.anchor == "neutral"
    assert [text for text in imported.warnings if "stays a word" in text] == [
        "no dataset has a class 'suprise': it stays a word; the nearest one is 'surprise'",
        "no dataset has a class 'bored': it stays a word",
    ]
    (tmp_path / "set.yaml").write_text(imported.prompts.to_yaml())
    assert PromptSet.load(tmp_path / "set.yaml") == imported.prompts

    kept = import_sentences(path, keep_names=True)
    assert kept.prompts.class_names == ("Joy", "neutral", "suprise", "bored")
    assert kept.renamed == {}


def test_two_names_of_one_class_are_refused(tmp_path):
    path = write(tmp_path, "a.json", json.dumps({"happy": ["a"], "Joy": ["b"]}))
    with pytest.raises(PromptError, match=r"'happy' and 'Joy' are both 'happiness'.*--keep-names"):
        import_sentences(path)
    assert import_sentences(path, keep_names=True).prompts.class_names == ("happy", "Joy")


def test_descriptors_become_sentences(tmp_path):
    words = {"fear": ["wide eyes", "often a pale face"], "in_pain": ["is crying"]}
    imported = import_sentences(
        write(tmp_path, "a.json", json.dumps(words)), template=DESCRIPTOR_TEMPLATE
    )
    start = "a photo of a person making a"
    assert imported.prompts.render("fear") == (
        f"{start} fear facial expression, which has wide eyes",
        f"{start} fear facial expression, which often a pale face",
    )
    assert imported.prompts.render("in_pain") == (
        f"{start}n in pain facial expression, which is crying",
    )
    assert imported.prompts.render_anchor() == (f"{start} neutral facial expression.",)
    with pytest.raises(PromptError, match="template is not valid"):
        import_sentences(tmp_path / "a.json", template="a {class}")


def test_repeated_and_similar_sentences_are_reported(tmp_path):
    words = {"fear": ["wide eyes", "Wide eyes!", "wide eyes"], "anger": ["a frown"]}
    imported = import_sentences(
        write(tmp_path, "a.json", json.dumps(words)), anchor=["a calm face"]
    )
    assert imported.repeated == {"fear": 1}
    assert imported.prompts.render("fear") == ("wide eyes", "Wide eyes!")
    assert imported.prompts.render_anchor() == ("a calm face",)
    assert any("nearly the same prompts: 'wide eyes'" in text for text in imported.warnings)
