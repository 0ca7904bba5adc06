"""Local models, on tiny ones with random weights that are built here. Skipped without torch."""

import numpy as np
import pytest

from jaxrl.errors import ConfigError
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import Image, Ok, Prompt, Refused, TimedOut, TransportError, Turn
from jaxrl.vlm.specs import client
from jaxrl.vlm.transformers import Local, TransformersClient

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
torch.set_num_threads(1)  # these models are too small to share out

WORDS = "the pole lander moon leans left right up down flags is stable over Question Answer".split()
SPECIAL = "<image> <video> <fake_token_around_image> <global-img> <end_of_utterance>".split()
UNSAID = (("suppress_tokens", list(range(9))),)  # so that every answer has a text
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} "
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }} "
    "{% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}assistant{% endif %}"
)
TEXT = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
SIZE = {"height": 16, "width": 16}


def tokenizer():
    names = ["<pad>", "<s>", "</s>", "<unk>", *SPECIAL, "user", "assistant", "system", *WORDS]
    names += [f"w{n}" for n in range(64 - len(names))]
    inner = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({name: n for n, name in enumerate(names)}, unk_token="<unk>")
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=SPECIAL,
    )


T5 = {
    "model_type": "t5",
    "vocab_size": 64,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 2,
    "num_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 0,
}


def blip2(text=None):
    opt = {**TEXT, "ffn_dim": 32, "word_embed_proj_dim": 16, "model_type": "opt"}
    text = text or opt
    qformer = {**VISION, "encoder_hidden_size": 16, "vocab_size": 64}
    config = transformers.Blip2Config(
        vision_config=VISION,
        qformer_config=qformer,
        text_config=text,
        num_query_tokens=4,
        image_token_index=4,
    )
    images = transformers.BlipImageProcessor(size=SIZE)
    words = tokenizer()
    words.image_token = tokenizers.AddedToken("<image>", special=True)
    processor = transformers.Blip2Processor(images, words, num_query_tokens=None)
    return transformers.Blip2ForConditionalGeneration(config), processor


def llava(template=TEMPLATE):
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=4,
    )
    images = transformers.CLIPImageProcessor(size=SIZE, crop_size=SIZE)
    processor = transformers.LlavaProcessor(
        images,
        tokenizer(),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    return transformers.LlavaForConditionalGeneration(config), processor


def onevision():
    config = transformers.LlavaOnevisionConfig(
        vision_config=transformers.SiglipVisionConfig(**VISION),
        text_config=transformers.Qwen2Config(**TEXT),
        image_token_index=4,
        video_token_index=5,
        image_grid_pinpoints=[[16, 16], [16, 32]],
    )
    images = transformers.LlavaOnevisionImageProcessor(
        size=SIZE, image_grid_pinpoints=[[16, 16], [16, 32]]
    )
    processor = transformers.LlavaOnevisionProcessor(
        images,
        tokenizer(),
        transformers.LlavaOnevisionVideoProcessor(size=SIZE),
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE,
    )
    return transformers.LlavaOnevisionForConditionalGeneration(config), processor


def idefics():
    """One that has no row of its own: it goes by `AutoModelForImageTextToText`."""
    config = transformers.Idefics3Config(
        vision_config=VISION,
        text_config=transformers.LlamaConfig(**TEXT),
        scale_factor=2,
        image_token_id=4,
        pad_token_id=0,
    )
    images = transformers.Idefics3ImageProcessor(
        size={"longest_edge": 16}, max_image_size={"longest_edge": 16}, do_image_splitting=False
    )
    processor = transformers.Idefics3Processor(
        images, tokenizer(), image_seq_len=1, chat_template=TEMPLATE
    )
    return transformers.Idefics3ForConditionalGeneration(config), processor


MODELS = {
    "blip2": blip2,
    "blip2-t5": lambda: blip2(T5),
    "llava": llava,
    "onevision": onevision,
    "idefics": idefics,
}
QUICK = Sampling(max_tokens=6, extra=UNSAID)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A function of a kind of model that gives the folder of a saved one."""
    made = {}

    def save(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            torch.manual_seed(0)
            for part in MODELS[kind]():
                part.save_pretrained(made[kind])
        return made[kind]

    return save


def image(value=0):
    frame = np.random.default_rng(value).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return Image.from_array(frame)


def prompts(count=3):
    texts = ["the pole leans", "is the lander stable over the moon", "left"]
    return [Prompt.of(texts[n % 3], image(n)) for n in range(count)]


@pytest.mark.parametrize("kind", MODELS)
def test_answers_come_in_order_without_the_prompt(folder, kind):
    asked = client(f"transformers:{folder(kind)}", max_tokens=6, extra=UNSAID)
    told = {}
    outcomes = asked.ask(prompts(), timeout=60, on_outcome=told.__setitem__)
    assert told == dict(enumerate(outcomes))
    for prompt, outcome in zip(prompts(), outcomes, strict=True):
        assert isinstance(outcome, Ok), outcome
        assert outcome.usage.output_tokens == 6 and not outcome.complete
        assert outcome.usage.input_tokens >= len(prompt.turns[0].text.split())
        # Alone or in a batch, padded or not: the same answer.
        (alone,) = asked.ask([prompt], timeout=60)
        assert alone == outcome
        assert not outcome.text.startswith(prompt.turns[0].text)
    names = {
        "blip2": "Blip2ForConditionalGeneration",
        "blip2-t5": "Blip2ForConditionalGeneration",
        "llava": "LlavaForConditionalGeneration",
        "onevision": "LlavaOnevisionForConditionalGeneration",
        "idefics": "Idefics3ForConditionalGeneration",
    }
    assert type(asked._local.model).__name__ == names[kind]
    asked.close()


@pytest.mark.parametrize("kind", ["blip2", "llava"])
def test_the_answer_is_what_the_model_generates(folder, kind):
    asked = client(f"transformers:{folder(kind)}", max_tokens=6, extra=UNSAID)
    model, processor = asked._local.model, asked._local.processor
    prompt = prompts(1)[0]
    text = {
        "blip2": "Question: the pole leans Answer:",
        "llava": "user <image> the pole leans assistant",
    }[kind]
    frame = np.array(prompt.turns[0].images[0].to_array())
    inputs = processor(text=text, images=frame, return_tensors="pt")
    tokens = model.generate(**inputs, max_new_tokens=6, do_sample=False, **dict(UNSAID))[0]
    new = tokens[inputs["input_ids"].shape[1] :]
    said = processor.tokenizer.decode(new, skip_special_tokens=True).strip()
    assert asked.ask([prompt], timeout=60)[0].text == said


def test_weights_never_change_and_chance_is_left_alone(folder):
    asked = client(f"transformers:{folder('llava')}", max_tokens=6, temperature=1.0)
    before = {name: value.clone() for name, value in asked._local.model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    asked.ask(prompts(), timeout=60)
    assert torch.equal(torch.rand(3), expected)
    after = asked._local.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not asked._local.model.training
    assert not any(p.requires_grad for p in asked._local.model.parameters())


def test_a_model_is_loaded_once(folder):
    first, second = (client(f"transformers:{folder('llava')}") for _ in range(2))
    assert first._local is second._local


def test_seeds_decide_and_samples_differ(folder):
    name = f"transformers:{folder('llava')}"
    asked = client(name, max_tokens=6, temperature=1.5, seed=1, extra=UNSAID)
    draws = [Prompt.of("the pole", image(), sample=n) for n in range(8)]
    outcomes = asked.ask(draws, timeout=60)
    assert outcomes == asked.ask(draws, timeout=60)
    assert len({o.text for o in outcomes if isinstance(o, Ok)}) > 4
    assert outcomes != client(name, max_tokens=6, temperature=1.5, seed=2, extra=UNSAID).ask(
        draws, timeout=60
    )
    free = client(name, max_tokens=6, temperature=1.5, extra=UNSAID)
    assert free.ask(draws, timeout=60) != free.ask(draws, timeout=60)


def test_prompts_with_and_without_pictures_in_one_batch(folder):
    asked = client(f"transformers:{folder('llava')}", max_tokens=4, extra=UNSAID)
    mixed = [
        Prompt.of("the pole"),
        Prompt.of("the pole", image()),
        Prompt.of("the moon", image(), image(1), system="is stable"),
        Prompt((Turn("user", "up", (image(),)), Turn("assistant", "down"), Turn("user", "up"))),
    ]
    outcomes = asked.ask(mixed, timeout=60)
    assert [type(o) for o in outcomes] == [Ok] * 4
    assert outcomes == [asked.ask([prompt], timeout=60)[0] for prompt in mixed]


def test_blip2_is_asked_as_it_was_trained_and_takes_one_picture(folder):
    asked = client(f"transformers:{folder('blip2')}")
    talk = Prompt(
        (Turn("user", "up", (image(),)), Turn("assistant", "down"), Turn("user", "left")),
        "Be brief.",
    )
    assert asked._write(talk) == "Be brief. Question: up Answer: down Question: left Answer:"
    for pictures in ((), (image(), image(1))):
        (outcome,) = asked.ask([Prompt.of("up", *pictures)], timeout=60)
        assert isinstance(outcome, TransportError) and "one picture a prompt" in outcome.reason


def test_llava_without_a_template_is_asked_in_its_own_form():
    torch.manual_seed(0)
    asked = TransformersClient("x", Local(torch, *llava(None)), sampling=QUICK)
    prompt = Prompt.of("the pole", image(), system="Be brief.")
    assert asked._write(prompt) == "Be brief. USER: <image>\nthe pole ASSISTANT:"
    assert isinstance(asked.ask([prompt], timeout=60)[0], Ok)


def test_templates_without_a_system_turn_get_it_in_the_first_question():
    refuse = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
    asked = TransformersClient("x", Local(torch, *llava(refuse + TEMPLATE)))
    text = asked._write(Prompt.of("the pole", image(), system="Be brief."))
    assert text.split() == "user <image> Be brief. the pole assistant".split()


def test_ends_limits_and_empty_answers(folder):
    asked = client(f"transformers:{folder('llava')}", max_tokens=8, extra=UNSAID)
    config = asked._local.model.generation_config
    before = config.eos_token_id
    try:
        config.eos_token_id = 63  # hardly ever said
        (whole,) = asked.ask(prompts(1), timeout=60)
        assert whole.usage.output_tokens == 8 and not whole.complete
        words = asked._local.processor.tokenizer(whole.text)["input_ids"]
        config.eos_token_id = [63, words[3]]
        (short,) = asked.ask(prompts(1), timeout=60)
        assert short.complete and short.text == " ".join(
            whole.text.split()[: words.index(words[3])]
        )
        config.eos_token_id = list(range(64))
        asked.sampling = Sampling(max_tokens=8)
        (none,) = asked.ask(prompts(1), timeout=60)
        assert isinstance(none, Refused) and "no text" in none.reason
    finally:
        config.eos_token_id = before


def test_the_deadline_ends_an_answer_and_what_follows_is_not_begun(folder):
    asked = client(f"transformers:{folder('llava')}", max_tokens=900, extra=UNSAID)
    asked._local.model.generation_config.eos_token_id = None
    try:
        asked.chunk = 1
        outcomes = asked.ask(prompts(2), timeout=0.2)
    finally:
        asked._local.model.generation_config.eos_token_id = 2
    assert outcomes == [TimedOut(0.2), TimedOut(0.2, sent=False)]


def test_less_at_a_time_where_memory_is_short(folder, monkeypatch):
    asked = client(f"transformers:{folder('llava')}", max_tokens=6)
    whole = asked.ask(prompts(5), timeout=60)
    generate, sizes = asked._local.model.generate, []

    def small(**inputs):
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("out of memory")
        return generate(**inputs)

    monkeypatch.setattr(asked._local.model, "generate", small)
    assert asked.ask(prompts(5), timeout=60) == whole
    assert sizes == [5, 2, 2, 1] and asked.chunk == 2


def test_what_is_no_model_is_refused(tmp_path, folder):
    with pytest.raises(ConfigError, match="cannot be loaded"):
        client(f"transformers:{tmp_path}")
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**TEXT)).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="image-text-to-text"):
        client(f"transformers:{tmp_path}")
    model, processor = idefics()
    processor.chat_template = None
    with pytest.raises(ConfigError, match="no chat template"):
        TransformersClient("x", Local(torch, model, processor))
