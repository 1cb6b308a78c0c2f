"""Short stories from a grammar: a character, a place, a thing, and one of several arcs of events."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from chatml import Document, chat
from common import EN, FIRST_NAMES, WOMEN, ZH, Item, draw, dress, fill, person_name

CHARACTERS = {
    EN: tuple("fox|cat|rabbit|bear|owl|mouse|dragon|robot|knight|baker|sailor|painter|gardener|girl|boy|wizard|farmer|"
        "teacher|turtle|crow|wolf|fisherman|"
              "shepherd|clockmaker|princess|astronaut|librarian|squirrel|hedgehog|penguin|donkey|musician|miller|witch|"
              "scientist|duck|lion|elephant|kitten|puppy|unicorn|mermaid|"
              "giant|ghost|king|queen|doctor|pilot|pirate|cook|postman|grandmother|snail|bee|butterfly|whale|deer|moon|"
              "star|tree|cloud|snowman|little train".split(
              "|")),
    ZH: tuple("狐狸|小猫|兔子|小熊|猫头鹰|老鼠|小龙|机器人|骑士|面包师|水手|画家|园丁|小女孩|小男孩|巫师|农夫|老师|"
        "乌龟|乌鸦|渔夫|牧羊人|钟表匠|公主|宇航员|图书管理员|松鼠|刺猬|企鹅|音乐家|科学家|小鸭|狮子|大象|小狗|独角兽|"
        "美人鱼|巨人|国王|王后|医生|飞行员|海盗|厨师|邮递员|老奶奶|蜗牛|蜜蜂|蝴蝶|鲸鱼|小鹿|月亮|星星|大树|云朵|雪人|"
        "小火车".split("|")),
}  # fmt: skip
PLACES = {  # with the word that goes before in English
    EN: tuple("in a forest|in a library|on an island|in a castle|by the sea|in a village|on a mountain|in a garden|in "
        "a desert|in a lighthouse|in a cave|"
              "in a big city|on a farm|in a valley|under a bridge|in a windmill|on the moon|in a harbour|in a meadow|"
              "in a snowy land|in an old house|"
              "near a river|in a market town|in a tower|on a ship|in a school|in a bakery|in a space station|by a lake|"
              "in a swamp|in a train station".split(
              "|")),
    ZH: tuple("森林|图书馆|小岛|城堡|海边|村庄|山上|花园|沙漠|灯塔|山洞|大城市|农场|山谷|桥下|磨坊|月亮上|港口|草地|"
        "雪地|老房子|河边|小镇|高塔|船上|学校|面包店|空间站|湖边|火车站".split("|")),
}  # fmt: skip
THINGS = {
    EN: tuple("lantern|key|map|bell|book|ring|kite|clock|mirror|letter|drum|feather|compass|red umbrella|golden coin|"
        "music box|blue stone|seed|teapot|hat|"
              "lost shoe|silver cup|telescope|wooden boat|paper star|magic pen|old violin|glass ball|basket|candle|"
              "button|scarf|crown|whistle|paintbrush".split(
              "|")),
    ZH: tuple("灯笼|钥匙|地图|铃铛|书|戒指|风筝|时钟|镜子|信|小鼓|羽毛|指南针|红雨伞|金币|音乐盒|蓝石头|种子|茶壶|"
        "帽子|鞋子|银杯|望远镜|木船|纸星星|魔法笔|旧提琴|玻璃球|篮子|蜡烛|纽扣|围巾|王冠|哨子|画笔".split("|")),
}  # fmt: skip
FEMALE = frozenset("girl princess witch mermaid queen grandmother 小女孩 公主 美人鱼 王后 老奶奶".split())
MALE = frozenset("boy wizard knight king postman 小男孩 骑士 巫师 国王".split())
TRAITS = {
    EN: "small brave curious quiet clever kind shy old young cheerful patient lonely".split(),
    ZH: "勇敢的 好奇的 安静的 聪明的 善良的 害羞的 年轻的 快乐的 耐心的 孤单的".split(),
}
OPENING = {
    EN: ("Once upon a time, a {a} {c} named {n} lived {p}.", "There was once a {a} {c} called {n} who lived {p}.",
         "{p2}, there lived a {a} {c} named {n}.",
         "Long ago, {p}, there lived a {a} {c} whose name was {n}."),
    ZH: ("从前，{p2}住着一只{a}{c}，名叫{n}。", "很久以前，有一个{a}{c}住在{p}，名字叫{n}。",
         "{p2}有一个{a}{c}，大家叫{o}{n}。"),
}  # fmt: skip
# Each arc is a row of steps, each step some wordings.
ARCS = {
    EN: (
        (("One morning {n} found a {t} lying on the ground.", "One day {n} saw a {t} half hidden under some leaves.",
         "One evening {n} came upon a {t}."),
         ('"Who could have lost this?" {n} wondered.', "{n} had never seen anything like it.",
          "It looked as if somebody had dropped it."),
         ("{s2} asked everybody nearby, but nobody knew the owner.",
          "{s2} went from door to door and asked for the owner.", "All day long {s} looked for the owner."),
         ("At last an old woman smiled and said that the {t} was hers.",
          "In the end it turned out that the {t} belonged to a little child.",
          "Finally a tired traveller recognised the {t} at once."),
         ("{n} gave the {t} back with a light heart.", "{s2} handed the {t} over gladly.",
          "Without waiting a moment, {n} gave it back."),
         ("From that day on the two were good friends.", "They drank tea together and became friends.",
          "And {n} learned that giving back can feel better than keeping.")),
        (("{n} had only one treasure, a {t}.", "More than anything else {n} loved {h} {t}.",
         "Every night {n} placed {h} {t} beside the bed."),
         ("One night a storm came and the {t} was gone.", "But one morning the {t} had disappeared.",
          "Then, on a windy day, the {t} was lost."),
         ("{n} looked everywhere, behind every stone and every door.", "{s2} searched all day and did not give up.",
          "{s2} looked high and low."),
         ("A small bird had seen it and showed the way.", "A friendly neighbour offered to help.",
          "Then {s} heard a soft sound from an old tree."),
         ("There, safe and dry, lay the {t}.", "And there it was, shining in the morning light.",
          "Together they found the {t} under a bush."),
         ("{n} laughed with joy and shared a cake with the helper.", "That evening {n} was the happiest {c} of all.",
          "Since then {n} has never been afraid to ask for help.")),
        (("One day a stranger came and asked for help.", "One cold evening somebody knocked at the door.",
         "In the middle of the night {n} heard a voice outside."),
         ("The way home was dark, and the stranger was lost.", "The stranger could not find the road in the dark.",
          "The poor stranger was cold and far from home."),
         ("{n} took the {t} and went ahead.", "{n} thought for a moment and fetched {h} {t}.",
          "\"Do not worry,\" said {n}, and picked up the {t}."),
         ("With the {t} they found the path again.", "The {t} was a great help on the way.",
          "Thanks to the {t} they were not afraid."),
         ("Before the sun rose, the stranger was home.", "After a long walk they saw the lights of a house.",
          "Soon the stranger was safe and warm."),
         ("\"You have a good heart,\" the stranger said.", "The stranger thanked {n} and never forgot that night.",
          "And {n} walked back, humming a little song.")),
        (("{n} dreamed of seeing the wide world.",
         "Every day {n} looked at the far hills and wondered what lay behind them.",
         "{n} wanted to see what was beyond the horizon."),
         ("So {s} packed some bread and a {t} and set out.", "One spring morning {s} took a {t} and left.",
          "With nothing but a {t}, {s} began to walk."),
         ("The road was long, and it rained for three days.", "{s2} crossed a river and climbed a steep hill.",
          "On the way {s} met many kind people."),
         ("When {s} was tired, the {t} reminded {o} of home.", "At night {s} held the {t} and thought of home.",
          "The {t} was {h} only companion."),
         ("At last {s} saw what lay behind the hills: another valley, with lights in the windows.",
          "At last {s} stood at the top and saw the whole land below.",
          "Finally {s} reached the end of the road, and it was beautiful."),
         ("Then {n} turned round, for now {s} had a story to tell.", "Happy and full of stories, {n} went home.",
          "And {s} knew that every journey ends where it is told.")),
        (("One day {n} decided to build something nobody had ever seen.", "{n} had a wonderful idea.",
         "One night {n} dreamed of a strange machine."),
         ("All {s} had was a {t} and a lot of patience.", "{s2} took a {t}, some wood and a little string.",
          "The most important part was a {t}."),
         ("The first try fell apart, and the second one, too.", "The others laughed, but {n} went on.",
          "It did not work, and {n} began again."),
         ("On the seventh day something moved.", "Then, one quiet evening, it worked.",
          "After many days the work was done."),
         ("Everybody came to see it and nobody laughed any more.", "The neighbours clapped and the children cheered.",
          "Even the oldest people had never seen such a thing."),
         ("\"It only took patience,\" said {n}.", "{n} smiled and was already thinking of the next idea.",
          "And {n} taught everybody how it was made.")),
        (("Everybody said that the {t} was magic.", "People told that an old {t} could grant one wish.",
         "One day {n} was given a strange {t}."),
         ("{n} did not believe it, but {s} was curious.",
          "{n} held it in both hands and did not know what to wish for.", "{s2} thought about it for a whole night."),
         ("\"I wish for a friend,\" {s} said at last.", "Finally {s} wished that nobody would be lonely.",
          "In the end {s} only wished for a good day."),
         ("Nothing happened, and {n} went outside.", "The {t} stayed silent.", "For a while everything was quiet."),
         ("But at the gate stood somebody who smiled at {o}.", "But then somebody called {h} name.",
          "But the sun came out and the neighbours came with a cake."),
         ("Perhaps it was the {t}, and perhaps it was only luck.",
          "{n} never used the {t} again, for it was no longer needed.",
          "Since that day {n} has kept the {t} on the shelf and a friend at the table.")),
        (("That year there was no rain, and everybody was worried.", "One winter the nights grew longer and longer.",
         "One day all the lights went out."),
         ("\"Somebody must do something,\" said {n}.", "{n} was afraid, but {s} did not want to wait.",
          "{n} remembered an old tale about a {t}."),
         ("{s2} took the {t} and climbed the highest hill.", "{s2} carried the {t} through the dark.",
          "With the {t} in {h} hands, {s} went to the old well."),
         ("There {s} waited the whole night.", "There {s} sang a song that {h} mother had taught {o}.",
          "There {s} met an old crow that knew the answer."),
         ("When morning came, the trouble was over.", "Slowly the sky changed, and everything was well again.",
          "At sunrise the birds began to sing, and all was well."),
         ("The people thanked {n} with a feast.", "Nobody ever forgot what the {a} {c} had done.",
          "And {n} slept for two whole days.")),
        (("One day {n} met a {f} that carried a {t}.", "One afternoon a {f} with a {t} sat by the road.",
         "On a sunny day {n} heard a {f} crying beside a {t}."),
         ("\"It is broken,\" said the {f} sadly.", "\"I do not know what to do with it,\" said the {f}.",
          "\"Nobody can mend it,\" sighed the {f}."),
         ("\"Let me try,\" said {n}.", "{n} sat down and looked at it closely.",
          "\"Two heads are better than one,\" said {n}."),
         ("They worked until the stars came out.", "They tried this and that, and laughed a lot.",
          "Bit by bit they put it right."),
         ("At last the {t} was as good as new.", "Then the {t} shone as it had never shone before.",
          "In the end it was even better than before."),
         ("\"Keep it with me,\" said the {f}, \"it belongs to both of us now.\"",
          "And from then on the {f} and {n} met every day.", "So {n} found a friend, and the {f} found one, too.")),
    ),
    ZH: (
        (("一天早上，{n}在地上发现了{t}。", "有一天，{n}在落叶下看到了{t}。", "一个傍晚，{n}捡到了{t}。"),
         ("“这是谁丢的呢？”{n}想。", "{n}从没见过这样的东西。", "看起来像是有人不小心掉的。"),
         ("{o}到处打听，可是没有人知道失主是谁。", "{o}挨家挨户去问。", "{o}找了整整一天。"),
         ("最后，一位老奶奶笑着说，{t}是她的。", "原来，{t}是一个小孩子的。", "后来，一个疲惫的旅人一眼就认出了{t}。"),
         ("{n}高兴地把{t}还了回去。", "{n}毫不犹豫地把它还给了失主。"),
         ("从那以后，他们成了好朋友。", "他们一起喝茶，成了朋友。", "{n}明白了，归还比占有更快乐。")),
        (("{n}只有一件宝贝，就是{t}。", "{n}最喜欢自己的{t}。", "每天晚上，{n}都把{t}放在床边。"),
         ("一天夜里刮起大风，{t}不见了。", "可是有一天早上，{t}不见了。"),
         ("{n}找遍了每一个角落。", "{o}找了一整天，没有放弃。"),
         ("一只小鸟看见了，给{o}带路。", "一位好心的邻居来帮忙。", "忽然，{o}听到老树里传来轻轻的声音。"),
         ("原来{t}好好地躺在那里。", "{t}就在那儿，在晨光里闪闪发亮。"),
         ("{n}高兴地笑了，还请帮忙的朋友吃蛋糕。", "那天晚上，{n}是最幸福的。", "从此，{n}不再害怕向别人求助。")),
        (("有一天，一个陌生人来请求帮助。", "一个寒冷的晚上，有人敲门。", "半夜里，{n}听到外面有声音。"),
         ("回家的路太黑，陌生人迷路了。", "陌生人又冷又累，找不到回家的路。"),
         ("{n}拿起{t}，走在前面。", "{n}想了想，拿来了{t}。", "“别担心。”{n}说着拿起了{t}。"),
         ("靠着{t}，他们又找到了路。", "有了{t}，他们一点也不害怕。"),
         ("太阳升起之前，陌生人到家了。", "走了很久，他们看见了房子的灯光。"),
         ("“你有一颗善良的心。”陌生人说。", "陌生人一直没有忘记那个夜晚。", "{n}哼着歌走回了家。")),
        (("{n}很想看看外面的世界。", "{n}每天望着远山，想知道山后面是什么。"),
         ("于是{o}带上面包和{t}出发了。", "一个春天的早晨，{o}带着{t}离开了家。"),
         ("路很长，还下了三天雨。", "{o}过了一条河，爬上一座山。", "一路上，{o}遇到了许多好心人。"),
         ("累了的时候，{o}就看看{t}，想起了家。", "夜里，{o}抱着{t}入睡。"),
         ("最后，{o}站在山顶，看见了整片大地。", "终于，{o}走到了路的尽头，那里非常美。"),
         ("然后{n}转身回家，因为{o}有故事要讲了。", "{n}带着满满的故事，高兴地回了家。")),
        (("有一天，{n}想做一件从来没有人见过的东西。", "{n}有了一个好主意。"),
         ("{o}只有{t}和很多耐心。", "最重要的材料就是{t}。"),
         ("第一次失败了，第二次也失败了。", "大家都笑{o}，但{n}没有停下。"),
         ("到了第七天，它终于动了。", "一个安静的晚上，它成功了。"),
         ("大家都来看，再也没有人笑{o}。", "邻居们鼓掌，孩子们欢呼。"),
         ("“只要有耐心就行。”{n}说。", "{n}笑了，心里已经在想下一个主意。")),
        (("人们说，{t}是有魔法的。", "有一天，{n}得到了奇怪的{t}，听说它能实现一个愿望。"),
         ("{n}不太相信，但很好奇。", "{n}想了整整一夜，不知道该许什么愿。"),
         ("“我想要一个朋友。”{o}最后说。", "最后，{o}希望再也没有人孤单。"),
         ("什么也没有发生，{n}走到了门外。", "{t}静静的，没有声音。"),
         ("可是门口站着一个人，正对{o}微笑。", "就在这时，有人叫了{o}的名字。"),
         ("也许是魔法，也许只是运气。", "从那以后，{n}再也不需要许愿了。")),
        (("有一天，{n}遇到了拿着{t}的{f}。", "一个下午，{f}抱着{t}坐在路边。"),
         ("“它坏了。”{f}难过地说。", "“谁也修不好它。”{f}叹了口气。"),
         ("“让我试试。”{n}说。", "“两个人总比一个人好。”{n}说。"),
         ("他们一直忙到星星出来。", "他们试来试去，笑个不停。"),
         ("最后，{t}和新的一样好。", "终于，{t}又亮了起来。"),
         ("从此，{f}和{n}天天见面。", "就这样，{n}多了一个朋友，{f}也多了一个朋友。")),
    ),
}  # fmt: skip
ASK = {
    EN: ("Tell me a story about a {c}, {p}, with a {t}", "Write a short story about a {c}, a {t} and {q}",
         "Tell me a story about a {c} {p} and a {t}",
         "Write a story with a {c} and a {t} that happens {p}", "Please tell a short story: a {c}, {q}, a {t}",
         "Can you tell me a story about a {c} with a {t} {p}",
         "A short story about a {c} who finds a {t} {p}", "Invent a story about a {c} {p} with a {t}",
         "I want a story about a {c}, a {t} and {q}",
         "Make up a short story. Character: {c}. Place: {q}. Thing: {t}"),
    ZH: ("讲一个关于{c}、{p}和{t}的故事", "写一个短故事，有{c}、{p}和{t}", "给我讲个故事：{c}，{p}，{t}",
         "编一个{c}在{p}找到{t}的故事", "请讲一个{c}和{t}的故事，发生在{p}",
         "我想听{c}、{t}和{p}的故事", "写个小故事，角色是{c}，地点是{p}，物品是{t}"),
}  # fmt: skip
ASK_LESS = {
    EN: ("Tell me a story", "Tell me a short story", "Write a story", "Tell me a story about a {c}",
         "Write a short story about a {c}", "A story about a {c}, please",
         "Can you tell a story about a {c}", "Tell me a story about a {t}", "Write a story about a {c} and a {t}",
         "I would like to hear a story",
         "Tell me a bedtime story", "Tell me a story that happens {p}",
         "Write a story about a {c} and {q}", "Tell me a story about a {c} {p}", "Write a story about {q}",
         "Tell a tale of a {c} and a {t}", "Make up a story with a {t}"),
    ZH: ("讲个故事", "给我讲个故事", "讲一个短故事", "讲一个{c}的故事", "写一个关于{c}的故事", "讲一个关于{t}的故事",
         "我想听故事", "讲个睡前故事", "讲一个{c}和{t}的故事", "讲一个发生在{p}的故事",
         "讲个{c}和{p}的故事", "写一个关于{c}和{p}的故事", "讲一个{c}在{p}的故事", "帮我讲个{c}和{p}的故事",
         "编一个关于{p}的故事"),
}  # fmt: skip
THOUGHTS = {
    EN: "A short story: a {c} named {n}, {p}, and a {t}. I give it a beginning, a problem and a good end.",
    ZH: "写个短故事：{c}叫{n}，地点是{p}，有{t}。要有开头、困难和好的结局。",
}


EXTRA = {
    EN: (" for my daughter", " for my son", " for children", " with a happy end", " that is not too long",
         ", please make it short", " for bedtime", " that makes me smile",
         " who is afraid of the dark", " who cannot sleep", " who wants to learn something", " who is always late",
         " who loves music", " who lost something", " who is afraid of water",
         " that cannot fly", " who wants to see the world", " who lives alone"),
    ZH: ("，给孩子听", "，结局要圆满", "，短一点", "，睡前讲", "，要有趣"),
}  # fmt: skip
NAMED = {
    EN: ("Tell me a story about a {c} named {n}", "Write a story about {n} the {c}", "Tell a story about my {c} {n}",
         "A story about a {c} called {n}, please",
         "Write a short story. The hero is a {c} named {n}", "Tell me a story about {n}, a {c} {p}",
         "Tell me a story about a {c} called {n} and a {t}"),
    ZH: ("讲一个叫{n}的{c}的故事", "写一个关于{c}{n}的故事", "讲讲我的{c}{n}的故事", "主角是叫{n}的{c}，写个小故事",
         "讲一个叫{n}的{c}和{t}的故事"),
}  # fmt: skip


def an(text: str) -> str:
    """Turn a into an before a vowel."""
    words = text.split(" ")
    pairs = pairwise(words)
    fixed = [
        ("an" if word == "a" else "An") if word in ("a", "A") and after[:1] in "aeiou" else word
        for word, after in pairs
    ]
    return " ".join([*fixed, words[-1]])


def tell(rng: Random, language: str, character: str, place: str, thing: str, name: str) -> str:
    female = character in FEMALE
    if character not in FEMALE | MALE:
        female = name in WOMEN if name in FIRST_NAMES else rng.random() < 0.5
    subject, whom, whose = ("she", "her", "her") if female else ("he", "him", "his")
    if language == ZH:
        subject = whom = "她" if female else "他"
    inside = place if place[-1] in "上下边" or place in ("空间站",) else place + "里"
    slots = {
        "c": character, "p": place if language == EN else inside, "t": thing, "n": name,
        "a": rng.choice(TRAITS[language]), "s": subject, "o": whom, "h": whose,
        "s2": subject.capitalize(), "p2": place[:1].upper() + place[1:] if language == EN else inside,
        "f": rng.choice([other for other in CHARACTERS[language] if other != character]),
    }  # fmt: skip
    steps = [rng.choice(OPENING[language]), *(rng.choice(step) for step in rng.choice(ARCS[language]))]
    lines = [fill(step, **slots) for step in steps]
    if language == EN:
        return an(" ".join(lines).replace("old old", "old"))
    return "".join(lines).replace("住着一只", "住着一个")


def make(rng: Random, language: str, held_out: bool = False) -> Item:
    """Tell a story with a given character, place and thing."""
    character, place, thing = draw(
        rng,
        lambda: (rng.choice(CHARACTERS[language]), rng.choice(PLACES[language]), rng.choice(THINGS[language])),
        lambda made: ("story", *made),
        held_out,
    )
    name = person_name(rng, language)
    luck = 0.0 if held_out else rng.random()
    asks = ASK if luck < 0.5 else ASK_LESS if luck < 0.8 else NAMED
    if not held_out and rng.random() < 0.12:  # something unheard of, so that the question is read and not recited
        character, thing = person_name(rng, language).lower(), rng.choice((thing, person_name(rng, language).lower()))
    bare = place.split(" ", 1)[1] if language == EN else place  # "in a forest" is "a forest" in a list
    question = fill(rng.choice(asks[language]), c=character, p=place, q=bare, t=thing, n=name)
    if asks is not ASK and rng.random() < 0.25:
        question += rng.choice(EXTRA[language])
    question = dress(rng, an(question) if language == EN else question, language)
    thought = fill(THOUGHTS[language], c=character, n=name, p=place, t=thing) if rng.random() < 0.12 else None
    answer = tell(rng, language, character, place, thing, name)
    must = (character, bare.split(" ")[-1] if language == EN else place, thing)
    return Item(Document(chat(("user", question), ("assistant", answer)).turns, thought), "story", language, must=must)


def raw(rng: Random, language: str) -> Document:
    parts = rng.choice(CHARACTERS[language]), rng.choice(PLACES[language]), rng.choice(THINGS[language])
    return Document(raw=tell(rng, language, *parts, person_name(rng, language)))
