"""Questions about the notions of language-model serving: explain, compare, list, tabulate, in either language."""

from __future__ import annotations

from random import Random

from chatml import Document, chat
from common import EN, LANGUAGES, ZH, Item, draw, dress, mistype, sentence
from notions import Notion, notions

ASK = {
    EN: (
        "What is {x}", "What is {x}", "What's {x}", "What does {x} mean", "Explain {x}", "Explain {x} to me",
        "Can you explain {x}",
        "Could you explain what {x} is", "Tell me about {x}", "Define {x}", "What do you know about {x}",
        "Describe {x}",
        "How does {x} work", "What is meant by {x}", "I don't understand {x}", "Help me understand {x}", "{x}",
        "What exactly is {x}",
        "Why is {x} important", "Why do we need {x}", "What is {x} good for", "What is the point of {x}",
        "Give me a definition of {x}",
        "Please explain {x} in simple words", "Explain {x} like I am five", "Explain {x} for a beginner",
        "What is {x} in vLLM",
        "What role does {x} play in serving", "I keep hearing about {x}. What is it",
        "Someone mentioned {x}. What does that mean",
        "I read about {x} today. Can you explain it", "Do you know what {x} is", "Do you know {x}",
        "In simple terms, what is {x}",
        "What is {x} in the context of language models", "What should I know about {x}", "Teach me about {x}",
        "Say something about {x}",
        "Summarize {x}", "What is the idea behind {x}", "What is the purpose of {x}", "When do I need {x}",
        "How would you describe {x}",
        "Can you tell me what {x} means", "Could you describe {x} briefly", "What's the meaning of {x}",
        "Give me a short explanation of {x}",
        "I want to learn about {x}", "Let's talk about {x}", "How do you explain {x}", "What is {x} used for",
        "Why does {x} matter",
        "What does the term {x} mean", "Explain the term {x}", "{x}: what is it", "Is {x} important",
        "What are the basics of {x}",
        "What is {x} and why does it matter", "What is {x} and how does it work", "Tell me more about {x}",
    ),
    ZH: (
        "什么是{x}", "什么是{x}", "{x}是什么", "{x}是什么", "{x}是什么意思", "解释一下{x}", "请解释{x}", "介绍一下{x}",
        "请介绍一下{x}",
        "说说{x}", "讲讲{x}", "{x}有什么用", "{x}的作用是什么", "为什么需要{x}", "{x}是怎么工作的", "{x}怎么理解",
        "我不懂{x}",
        "帮我理解{x}", "{x}", "能解释一下{x}吗", "你知道{x}吗", "你知道{x}是什么吗", "用简单的话解释{x}",
        "给初学者讲讲{x}", "请定义{x}",
        "{x}为什么重要", "谈谈{x}", "{x}到底是什么", "我想了解{x}", "简单介绍一下{x}", "什么叫{x}", "{x}指的是什么",
        "如何理解{x}",
        "请说明{x}", "关于{x}你知道什么", "有人提到{x}，那是什么", "经常听到{x}，它是什么意思", "教我{x}",
        "{x}的含义是什么",
        "在 vLLM 里{x}是什么", "语言模型里的{x}是什么", "{x}有什么意义", "{x}的原理是什么", "一句话说说{x}是什么",
        "{x}是干什么的",
        "能不能讲一下{x}", "{x}这个词是什么意思", "给我讲讲什么是{x}", "总结一下{x}", "什么时候需要{x}",
    ),
}  # fmt: skip
# Sentences to go before or after a question, so that the notion is found wherever it stands.
CONTEXT = {
    EN: (
        "I was reading the documentation of vLLM.", "We are building a chat service.", "My friend works on servers.",
        "I have a talk tomorrow.", "I saw this in a log.",
        "This came up in a meeting.", "I am a student.", "I am preparing for an interview.", "My boss wants to know.",
        "I am writing a report.", "It is for my homework.",
        "I found this word in a blog.", "Our team disagrees about this.", "Just a short answer is fine.",
        "No details, please.", "I know nothing about it.",
        "I only know a little about language models.", "It is on my list of words to learn.",
        "The manual uses this word a lot.", "I asked somebody else but did not understand.",
        "There is an option with this name.", "Everybody talks about it.", "I want to understand how serving works.",
        "I forgot it again.", "My professor asked me.",
    ),
    ZH: (
        "我在看 vLLM 的文档。", "我们在做一个聊天服务。", "我明天要做报告。", "我在日志里看到的。", "开会时有人说到。",
        "我是学生。", "我在准备面试。", "老板想知道。",
        "这是作业。", "我在博客里看到这个词。", "简短回答就行。", "我完全不懂。", "我只懂一点语言模型。",
        "大家都在说它。", "我又忘了。", "老师问我的。", "手册里常出现这个词。",
        "我想弄懂推理服务。", "不用太详细。", "有一个选项叫这个名字。",
    ),
}  # fmt: skip
# Pieces of questions: any first piece goes with any last one.
FIRST = {
    EN: ("explain", "describe", "define", "tell me about", "say what you know about", "give me the main idea of",
         "give me an explanation of", "give me a summary of",
         "sum up", "teach me", "help me with", "introduce me to", "clarify", "outline", "present", "go over",
         "talk about", "write about", "give me some background on",
         "give a brief introduction to", "tell us something about", "break down", "make me understand",
         "show me what you know about", "shed some light on"),
    ZH: ("解释", "说明", "介绍", "讲解", "讲一讲", "说一说", "谈一谈", "概括", "简述", "描述", "阐述", "讲清楚",
         "说清楚", "总结"),
}  # fmt: skip
LEAD = {
    EN: ("", "", "please ", "can you ", "could you ", "would you ", "can you please ", "could you please ",
         "I want you to ", "I'd like you to ", "will you ", "try to ",
         "I need you to ", "kindly ", "let us see if you can ", "would you mind to "),
    ZH: ("", "", "请", "请你", "你能", "能不能", "可以", "能否", "帮我", "麻烦你", "给我", "为我", "我想请你", "试着"),
}  # fmt: skip
LAST = {
    EN: ("", "", "", " in simple terms", " briefly", " to me", " for beginners", " in a few words", " in two sentences",
         " to a child", " to my grandmother", " quickly",
         " in plain English", " once more", " step by step", " in detail", " without jargon", " for a newcomer",
         " so that I get it", " to a friend"),
    ZH: ("", "", "", "一下", "一下吧", "给我听", "，简单一点", "，用通俗的话", "，越短越好", "给新手听", "给小朋友听",
         "，两句话就够", "的意思", "的概念", "的含义", "的作用"),
}  # fmt: skip
WHAT = {
    EN: ("what is {x}", "what does {x} do", "what {x} is", "how {x} works", "what {x} means", "what {x} does",
         "why {x} matters", "why people use {x}", "the concept of {x}",
         "the term {x}", "the notion of {x}", "the word {x}", "{x}", "{x}", "{x}", "{x}", "the idea of {x}",
         "the thing called {x}"),
    ZH: ("{x}", "{x}", "{x}", "{x}", "什么是{x}", "{x}是什么", "{x}这个概念", "{x}这个词", "所谓的{x}", "{x}怎么回事",
         "{x}的意义"),
}  # fmt: skip


def pieced(rng: Random, language: str) -> str:
    """Put a question together from pieces; it need not be good style, people's questions are not."""
    text = rng.choice(LEAD[language]) + rng.choice(FIRST[language]) + (" " if language == EN else "")
    what = rng.choice(WHAT[language])
    if what.startswith("what is") or what == "what does {x} do":
        text += what.replace("what is {x}", "what {x} is").replace("what does {x} do", "what {x} does")
    else:
        text += what
    return text + rng.choice(LAST[language])


# Whole phrasings that no training text uses.
UNSEEN = {
    EN: (
        "Could you give me a quick overview of {x}", "My colleague asked me about {x}. What should I say",
        "What would you say {x} is",
        "How can I picture {x}", "I have a meeting about {x}. Give me the main point", "Remind me what {x} is about",
        "Walk me through {x}", "What makes {x} useful", "In one or two sentences, what is {x}",
        "Somebody asked: what on earth is {x}",
        "I forgot what {x} means, can you help", "What do people mean when they say {x}",
    ),
    ZH: (
        "能给我简单讲明白{x}吗", "同事问我{x}，我该怎么回答", "怎样向别人说明{x}", "我忘了{x}是什么，提醒我一下",
        "{x}究竟指什么",
        "开会要讲{x}，帮我说个要点", "大家说的{x}到底是什么意思", "用一两句话说明{x}", "{x}好在哪里", "麻烦科普一下{x}",
    ),
}  # fmt: skip
OPENINGS = {
    EN: ("", "", "", "", "", "In short: ", "Sure. ", "Good question. ", "Gladly. "),
    ZH: ("", "", "", "", "", "简单说，", "好的。", "好问题。", "可以。"),
}
BRIEF = {
    EN: ("Explain {x} in one sentence", "In one sentence, what is {x}", "{x} in one sentence, please",
         "Define {x} in a single sentence"),
    ZH: ("用一句话解释{x}", "一句话解释{x}", "请用一句话说明{x}是什么", "只用一句话介绍{x}"),
}  # fmt: skip
IN_OTHER = {  # asked in one language, to be answered in the other
    EN: ("Explain {x} in Chinese", "What is {x}? Answer in Chinese", "Please tell me about {x} in Chinese",
         "In Chinese, please: what is {x}"),
    ZH: ("用英文解释{x}", "请用英语介绍{x}", "{x}是什么？请用英文回答", "用英语告诉我什么是{x}"),
}  # fmt: skip
COMPARE = {
    EN: ("What is the difference between {x} and {y}", "Compare {x} and {y}", "{x} vs {y}", "How do {x} and {y} differ",
         "{x} or {y}, what is the difference", "Should I use {x} or {y}", "What is better, {x} or {y}",
         "What do {x} and {y} have in common", "{x} and {y}",
         "Are {x} and {y} the same thing", "How does {x} relate to {y}", "What are {x} and {y}",
         "Tell me about {x} and {y}", "Is {x} the same as {y}", "Explain {x} and {y}", "How is {x} different from {y}"),
    ZH: ("{x}和{y}有什么区别", "比较{x}和{y}", "{x}与{y}有什么不同", "{x}和{y}一样吗", "解释{x}和{y}",
         "{x}和{y}的区别是什么",
         "{x}和{y}是一回事吗", "{x}还是{y}好", "{x}和{y}", "{x}与{y}有什么关系", "什么是{x}和{y}", "该用{x}还是{y}"),
}  # fmt: skip
COMPARED = {
    EN: ("They are two different things. ", "", "They are not the same. ", "Here are both. "),
    ZH: ("它们是两回事。", "", "它们不一样。", "两个都说一下。"),
}
WHICH = {
    EN: (
        "Which term means: {x}",
        "What do you call this: {x}",
        "What is the word for: {x}",
        "Which notion is this: {x}",
    ),
    ZH: ("哪个词表示：{x}", "这叫什么：{x}", "这是什么概念：{x}", "什么概念的意思是：{x}"),
}
MORE = {
    EN: (
        "Tell me more",
        "More, please",
        "Can you say more about that",
        "Go on",
        "What else should I know",
        "And what else",
        "Why does it matter",
        "Why is that important",
        "Anything else",
        "Please continue",
        "Continue",
        "More details",
        "Why",
        "How does it work",
        "Interesting, go on",
        "And then",
        "What else",
    ),
    ZH: (
        "再多说一点",
        "还有呢",
        "继续说",
        "能再讲讲吗",
        "还有什么要知道的",
        "详细一点",
        "为什么重要",
        "为什么",
        "继续",
        "接着说",
        "再详细些",
        "它是怎么工作的",
        "有意思，继续",
        "还有别的吗",
    ),
}
SIMPLER = {
    EN: ("I don't understand", "Can you say it in other words", "Simpler, please", "Say it again differently",
         "Explain that again", "What do you mean", "Once more, please",
         "Could you rephrase that", "I did not get it", "Huh", "Can you explain it differently"),
    ZH: ("没听懂", "换个说法", "再解释一遍", "能说得简单点吗", "什么意思", "我不明白", "换句话说呢", "请再说一次"),
}  # fmt: skip
AGAIN = {
    EN: (
        "Now say that in Chinese",
        "Can you repeat that in Chinese",
        "In Chinese, please",
        "Translate that into Chinese",
    ),
    ZH: ("用英文再说一遍", "请用英语重复一遍", "换成英文", "翻译成英文"),
}
THOUGHTS = {
    EN: ("The person asks about {x}. I say the main point first, then add a detail.",
         "This is about {x}. I explain it in plain words.",
         "I should explain {x} briefly: {g}."),
    ZH: ("对方在问{x}。先说要点，再补充一点。", "这是关于{x}的问题，用简单的话解释。", "要简短地解释{x}：{g}。"),
}  # fmt: skip
TOPICS = {
    "memory": ("GPU memory", "显存"), "phases": ("the phases of generation", "生成阶段"), "scheduling": ("scheduling",
    "调度"),
    "speed": ("speed", "速度"), "sampling": ("sampling", "采样"), "text": ("text and tokens", "文字和词元"),
    "models": ("language models", "语言模型"), "numbers": ("number formats", "数字格式"), "machines": ("hardware",
    "硬件"),
    "software": ("serving software", "服务软件"),
}  # fmt: skip
COUNTS = {EN: {2: "two", 3: "three", 4: "four", 5: "five"}, ZH: {2: "两个", 3: "三个", 4: "四个", 5: "五个"}}


def name_in(rng: Random, notion: Notion, language: str) -> str:
    names = notion.names[language]
    return names[0] if rng.random() < 0.5 else rng.choice(names)


def put(template: str, name: str) -> str:
    """Put a name into a Chinese or English question, with a space between Latin and Chinese letters."""
    before, _, after = template.partition("{x}")
    if before[-1:] > "\u2e80" and before[-1:] not in "，：" and name[:1].isascii():
        before += " "
    if after[:1] > "\u2e80" and after[:1] not in "，：？" and name[-1:].isascii():
        after = " " + after
    return before + name + after


def explanation(rng: Random, notion: Notion, language: str, opening: bool = True) -> str:
    sentences = [rng.choice(notion.key[language])]
    sentences += rng.sample(notion.more[language], rng.choice((1, 1, 2)))
    start = rng.choice(OPENINGS[language]) if opening else ""
    return start + (" " if language == EN else "").join(sentences)


def ask(rng: Random, language: str, held_out: bool = False, unseen: bool = False) -> tuple[str, Notion]:
    """Return a question about one notion; `unseen` takes a phrasing that is never used in training."""
    phrasings = (UNSEEN if unseen else ASK)[language]

    def make() -> tuple[str, Notion, str]:
        notion = rng.choice(notions())
        template = pieced(rng, language) if not unseen and rng.random() < 0.45 else rng.choice(phrasings)
        return put(template, name_in(rng, notion, language)), notion, template

    if unseen:
        text, notion, _ = make()
    else:
        text, notion, _ = draw(rng, make, lambda made: ("ask", made[2].lower(), made[1].names[EN][0]), held_out)
    text = dress(rng, sentence(text) if rng.random() < 0.7 else text, language)
    if not unseen and rng.random() < 0.2:
        context, gap = rng.choice(CONTEXT[language]), " " if language == EN else ""
        text = f"{context}{gap}{text}" if rng.random() < 0.7 else f"{text}{gap}{context}"
    return (text if unseen else mistype(rng, text, language)), notion


def make(rng: Random, language: str, held_out: bool = False, unseen: bool = False) -> Item:
    """Make a plain question and its explanation."""
    question, notion = ask(rng, language, held_out, unseen)
    thought = None
    if rng.random() < 0.15:
        name, gloss = notion.names[language][0], notion.gloss[language]
        thought = rng.choice(THOUGHTS[language]).replace("{x}", name).replace("{g}", gloss)
    document = chat(("user", question), ("assistant", explanation(rng, notion, language)), thought=thought)
    return Item(document, "notion", language, any_of=tuple(notion.key[language]))


def brief(rng: Random, language: str, held_out: bool = False) -> Item:
    made = draw(
        rng,
        lambda: (rng.choice(BRIEF[language]), rng.choice(notions())),
        lambda m: ("brief", m[0], m[1].names[EN][0]),
        held_out,
    )
    template, notion = made
    question = dress(rng, put(template, name_in(rng, notion, language)), language)
    document = chat(("user", question), ("assistant", rng.choice(notion.key[language])))
    return Item(document, "one sentence", language, any_of=tuple(notion.key[language]))


def in_other_language(rng: Random, language: str, held_out: bool = False) -> Item:
    other = ZH if language == EN else EN
    template, notion = draw(
        rng,
        lambda: (rng.choice(IN_OTHER[language]), rng.choice(notions())),
        lambda m: ("other", m[0], m[1].names[EN][0]),
        held_out,
    )
    question = put(template, name_in(rng, notion, language))
    document = chat(("user", question), ("assistant", explanation(rng, notion, other, opening=False)))
    return Item(document, "other language", other, any_of=tuple(notion.key[other]))


def compare(rng: Random, language: str) -> Document:
    first = rng.choice(notions())
    near = rng.random() < 0.6  # of one group, or any two
    second = rng.choice([n for n in notions() if (not near or n.group == first.group) and n is not first])
    question = put(rng.choice(COMPARE[language]), name_in(rng, first, language)).replace(
        "{y}", name_in(rng, second, language)
    )
    join = " " if language == EN else ""
    keys = [rng.choice(first.key[language]), rng.choice(second.key[language])]
    return chat(
        ("user", dress(rng, question, language)), ("assistant", rng.choice(COMPARED[language]) + join.join(keys))
    )


POINTS = {
    EN: ("List the main points about {x}", "Give me three points about {x}", "List three facts about {x}",
         "{x} in three bullet points", "Three things to know about {x}",
         "Explain {x} as a list", "Key points of {x}", "Explain {x} in bullet points", "Tell me about {x} in a list",
         "Give me a list of facts about {x}"),
    ZH: ("列出{x}的要点", "说出{x}的三个要点", "关于{x}的三件事", "用列表说明{x}", "分点介绍{x}", "用三点解释{x}",
         "{x}的要点有哪些", "列出{x}的三个事实"),
}  # fmt: skip
TABULATE = {
    EN: ("Make a table of {x} and {y}", "Compare {x} and {y} in a table", "Give me a table comparing {x} and {y}",
         "Put {x} and {y} into a table",
         "{x} and {y} as a table", "Show the difference between {x} and {y} in a table",
         "Write a Markdown table that compares {x} with {y}"),
    ZH: ("用表格比较{x}和{y}", "做一个{x}和{y}的对比表", "把{x}和{y}做成表格", "列表格说明{x}和{y}",
         "给我一个比较{x}和{y}的表格", "用 Markdown 表格对比{x}和{y}"),
}  # fmt: skip


def points(rng: Random, language: str) -> Document:
    """Say the key fact and the additions as a list."""
    notion = rng.choice(notions())
    question = dress(rng, put(rng.choice(POINTS[language]), name_in(rng, notion, language)), language)
    lines = [rng.choice(notion.key[language]), *rng.sample(notion.more[language], 2)]
    numbered = "bullet" not in question and "点" not in question and rng.random() < 0.5
    answer = "\n".join(f"{i}. {line}" if numbered else f"- {line}" for i, line in enumerate(lines, 1))
    return chat(("user", mistype(rng, question, language)), ("assistant", answer))


def tabulate(rng: Random, language: str) -> Document:
    first, second = rng.sample(notions(), 2)
    if rng.random() < 0.6:
        second = rng.choice([n for n in notions() if n.group == first.group and n is not first])
    question = put(rng.choice(TABULATE[language]), name_in(rng, first, language)).replace(
        "{y}", name_in(rng, second, language)
    )
    head = "| Term | Meaning |" if language == EN else "| 概念 | 含义 |"
    rows = [f"| {notion.names[language][0]} | {notion.gloss[language]} |" for notion in (first, second)]
    return chat(("user", dress(rng, question, language)), ("assistant", "\n".join([head, "| --- | --- |", *rows])))


def which(rng: Random, language: str) -> Document:
    notion = rng.choice(notions())
    question = rng.choice(WHICH[language]).replace("{x}", notion.gloss[language])
    name = notion.names[language][0]
    answer = f"That is {name}. " if language == EN else f"这是{name}。"
    return chat(("user", question), ("assistant", answer + rng.choice(notion.key[language])))


def follow_up(rng: Random, language: str) -> Document:
    """Ask for more, or for the same in the other language."""
    question, notion = ask(rng, language)
    first = rng.choice(notion.key[language])
    if rng.random() < 0.5:
        join = " " if language == EN else ""
        then, answer = rng.choice(MORE[language]), join.join(rng.sample(notion.more[language], 2))
    elif rng.random() < 0.5:
        then, answer = rng.choice(AGAIN[language]), rng.choice(notion.key[ZH if language == EN else EN])
    else:
        then, answer = rng.choice(SIMPLER[language]), next(key for key in notion.key[language] if key != first)
    turns = (("user", question), ("assistant", first), ("user", dress(rng, then, language)), ("assistant", answer))
    return chat(*turns)


def overview(rng: Random, language: str) -> Document:
    """List or tabulate some notions of one group."""
    group = rng.choice(list(TOPICS))
    count = rng.choice((2, 3, 3, 4, 5))
    chosen = rng.sample([n for n in notions() if n.group == group], count)
    topic, number = TOPICS[group][LANGUAGES.index(language)], COUNTS[language][count]
    table = rng.random() < 0.45
    if language == EN:
        asks = ("Make a table of {n} terms about {t}",
            "Give me a Markdown table with {n} terms about {t}") if table else (
            "List {n} terms about {t}", "Give me a list of {n} terms about {t}",
            "Name {n} notions about {t}")  # fmt: skip
        head = "| Term | Meaning |"
    else:
        asks = ("用表格列出{n}关于{t}的概念", "做一个表格，列出{n}关于{t}的术语") if table else (
            "列出{n}关于{t}的概念", "请列举{n}与{t}有关的术语", "说出{n}关于{t}的概念")  # fmt: skip
        head = "| 概念 | 含义 |"
    question = rng.choice(asks).replace("{n}", number).replace("{t}", topic)
    pairs = [(notion.names[language][0], notion.gloss[language]) for notion in chosen]
    if table:
        answer = "\n".join([head, "| --- | --- |", *(f"| {name} | {gloss} |" for name, gloss in pairs)])
    else:
        colon = ": " if language == EN else "："
        answer = "\n".join(f"{i}. {sentence(name)}{colon}{gloss}" for i, (name, gloss) in enumerate(pairs, 1))
    return chat(("user", dress(rng, question, language)), ("assistant", answer))


def raw(rng: Random, language: str) -> Document:
    """Write about some notions of one group as running text."""
    group = rng.choice(list(TOPICS))
    chosen = rng.sample([n for n in notions() if n.group == group], rng.choice((1, 2, 3)))
    paragraphs = [explanation(rng, notion, language, opening=False) for notion in chosen]
    return Document(raw=rng.choice(("\n\n", "\n\n", " " if language == EN else "")).join(paragraphs))
