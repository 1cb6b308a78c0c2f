"""Questions about the pictures of `pictures.py`, and their answers, in English and Chinese.

Every kind of question has wordings for training and others that no training text has, which the evaluation asks.
A wording writes alternatives as [one|two]; slots are {shape}, {place} and so on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from common import EN, ZH, dress, fill, mistype, sentence
from pictures import CELLS, COLOURS, SHAPES, Scene, Thing

SHAPES_ZH = dict(zip(SHAPES, "圆形 正方形 三角形 星形 菱形 心形 十字 圆环".split(), strict=True))
COLOURS_ZH = dict(zip(COLOURS, "红色 绿色 蓝色 黄色 橙色 紫色 粉色 棕色 黑色 白色 灰色".split(), strict=True))
CELLS_ZH = dict(zip(CELLS, "左上角 上方 右上角 左边 中间 右边 左下角 下方 右下角".split(), strict=True))
SIDES = {
    EN: {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"},
    ZH: {"left": "左边", "right": "右边", "above": "上面", "below": "下面"},
}
ORDINALS = {
    EN: ("first", "second", "third", "fourth", "fifth"),
    ZH: ("第一", "第二", "第三", "第四", "第五"),
}


@dataclass(frozen=True)
class Look:
    """One question about a picture, its answer, and how to judge another answer."""

    kind: str
    language: str
    question: str
    answer: str
    must: tuple[str, ...] = ()  # all of these stand in a right answer
    must_not: tuple[str, ...] = ()  # and none of these
    any_of: tuple[str, ...] = ()  # and one of these


@dataclass(frozen=True)
class Wordings:
    """Ways to ask one thing."""

    trained: tuple[str, ...]
    unseen: tuple[str, ...]


P = "[picture|image|photo|drawing]"
PZ = "[图片|图|图像|画面|照片]"
ASK: dict[tuple[str, str], Wordings] = {
    ("shape", EN): Wordings(
        (f"[What|Which] shape [is this|is that|is it|do you see|can you see|is shown|is in the {P}|does the {P} show]",
         f"What [kind|sort|type] of shape is [this|it|shown|in the {P}]", f"[Name|Identify] the shape in the {P}",
         "[Name|Tell me|Say] the shape", f"Which [figure|form|object] is [this|shown|in the {P}]",
         "What is the shape [called|here]", "Is this a circle, a square or something else", f"What does the {P} show",
         f"What is [in|on] [this|the] {P}", "What is this", "What object [do you see|is this]",
         f"[Can|Could] you tell me [what|which] shape [this is|is in the {P}]", "Recognise the shape",
         f"I see a shape in the {P}. Which one is it", "What [shape|figure] am I looking at",
         "Do you [know|see|recognise] [what|which] shape [this|it] is", "How [is|do you call] this shape called", "[Say|Tell me] what shape it is",
         f"The {P} [has|shows] one [shape|thing|object]. [What|Which] is it", f"Which shape [has|is on] [my|the] {P}", "The shape, please"),
        ("What geometric shape is drawn here", f"Please say which shape the {P} contains",
         f"Do you know the name of the shape in my {P}", "What would you call this shape",
         "Look at this and tell me its shape", f"There is one thing in the {P}: what shape has it")),
    ("shape", ZH): Wordings(
        ("这是什么[形状|图形]", f"{PZ}[里|中]是什么[形状|图形|东西]", f"{PZ}[里|中]有什么[形状|图形]", "这个[图形|形状]是什么",
         "[看到|看见]了什么[形状|图形]", "你[看到|看见]什么[形状|图形]", "[说出|告诉我][形状|这个形状]", f"{PZ}上画的是什么",
         "这是哪种[形状|图形]", "[识别|认一下]这个[图形|形状]", "是什么形状", f"{PZ}[显示|展示]的是什么[形状|图形]",
         "这是什么", "它是什么[形状|图形]", "你知道这是什么[形状|图形]吗", "能告诉我这是什么[形状|图形]吗", "可以说一下[形状|图形]的名字吗", "这个图形叫什么", f"{PZ}里的[图形|东西]叫什么"),
        ("请问画的是哪一种形状", "能说出这个图形的名字吗", "你觉得这是什么形状", f"{PZ}里的东西是什么形状的")),
    ("shape of", EN): Wordings(
        ("[What|Which] shape is the {colour} [one|thing|object|shape]", "What is the {colour} [thing|object|shape|one]",
         "What shape has the {colour} [thing|object|one]", "[Name|Tell me] the {colour} [shape|object]",
         "Which [shape|object|figure] is {colour}", "What [thing|object] is {colour}",
         "Which of [these|them] is {colour}", "Among the shapes, which is {colour}", "There is something {colour}. What is it",
         "[Say|Tell me] the shape of the {colour} [thing|one]", "I mean the {colour} one. [What|Which] shape is it", "The {colour} one is [what|which] shape",
         f"What is {{colour}} in [this|the] {P}"),
        ("Which of the shapes is the {colour} one", "What is the shape of the {colour} object",
         "Can you say what shape the {colour} thing has")),
    ("shape of", ZH): Wordings(
        ("{colour}的是什么[形状|图形|东西|]", "{colour}的[图形|东西|那个]是什么[形状|]", "哪个[图形|形状|东西]是{colour}的",
         "什么[图形|形状|东西]是{colour}的","你知道{colour}的是什么形状吗", "能告诉我{colour}的是什么吗", "{colour}的图形叫什么", "{colour}[图形|物体]是什么形状"),
        ("请说出{colour}那个的形状", f"{PZ}里{{colour}}的东西是什么形状的")),
    ("colour", EN): Wordings(
        ("[What|Which] [colour|color] is the {shape}", "What is the [colour|color] of the {shape}",
         f"[What|Which] [colour|color] is the {{shape}} in [this|the] {P}",
         "[Tell me|Name|Say] the [colour|color] of the {shape}",
         "What [colour|color] does the {shape} have", "Which [colour|color] has the {shape}",
         "[Can|Could] you tell me the [colour|color] of the {shape}",
         "In [what|which] [colour|color] is the {shape} [drawn|painted]", "The {shape} is [what|which] [colour|color]",
         "What [colour|color]'s the {shape}", "How is the {shape} coloured", "[Look at|Find] the {shape}. What [colour|color] is it",
         "Is the {shape} red, blue or another [colour|color]", "I want to know the [colour|color] of the {shape}",
         "Do you [know|see] the [colour|color] of the {shape}", "The [colour|color] of the {shape}, please", "Say [what|which] [colour|color] the {shape} [has|is]",
         f"There is a {{shape}} in the {P}. [What|Which] [colour|color] is it"),
        ("The {shape}, what colour is it", "Of what colour is the {shape}", "Please describe the colour of the {shape}",
         f"Which colour was used for the {{shape}} in my {P}", "Do you see which colour the {shape} has",
         "Give the colour of the {shape}")),
    ("colour", ZH): Wordings(
        ("{shape}是什么颜色[的|]", "{shape}的颜色是什么", f"{PZ}[里|中]的{{shape}}是什么颜色", "[告诉我|说出]{shape}的颜色",
         "{shape}是哪种颜色", "{shape}什么颜色", "[这个|那个]{shape}是什么颜色", "你[看到|看见]的{shape}是什么颜色",
         "{shape}用的是什么颜色", "{shape}是红色还是别的颜色", "[看看|找到]{shape}，它是什么颜色", "你知道{shape}是什么颜色吗", "能告诉我{shape}的颜色是什么吗", "能不能说一下{shape}是什么颜色"),
        ("能说说{shape}的颜色吗", "{shape}涂的是什么颜色", "请问那个{shape}是哪一种颜色", "我想知道{shape}的颜色")),
    ("background", EN): Wordings(
        ("[What|Which] [colour|color] is the background", "What is the [colour|color] of the background",
         "What [colour|color] is behind [it|the shapes|everything]", f"What [colour|color] is the background of the {P}",
         "[Tell me|Name] the background [colour|color]", "What background does it have"),
        ("Which colour has the background here", "Please tell me how the background is coloured")),
    ("background", ZH): Wordings(
        ("背景是什么颜色[的|]", "背景的颜色是什么", f"{PZ}的背景是什么颜色", "[告诉我|说出]背景[的|]颜色", "背景什么颜色",
         "底色是什么"),
        ("请问背景是哪种颜色", "能看出背景的颜色吗")),
    ("count", EN): Wordings(
        ("How many {things} [are there|do you see|can you see|are shown]", f"How many {{things}} [are|are there] in [this|the] {P}",
         "Count the {things}", "[Please count|Can you count] [all|] the {things}", f"How many {{things}} does the {P} [show|have|contain]",
         "What is the number of {things}", "[Tell me|Say] how many {things} there are", "How many {things}",
         f"[Tell me|Give me] the number of {{things}} in the {P}", "How many {things} are [here|drawn|visible]",
         f"Are there any {{things}} in the {P}, and how many",
         "Do you know how many {things} there are", "The number of {things}, please", "I see {things}. How many are they", f"How many {{things}} did I [draw|put] in [my|the] {P}",
         "Say how many {things} you [see|find]", "The {things}, how many are there", "As for {things}, how many do you see",
         "{things} - how many of them", "{things}. [Count them|How many in all]", "Only the {things}: count them", "Number of {things}",
         "How many times do you see a {thing}", f"How often [is|do you see] a {{thing}} in the {P}", "[Would|Will] you count the {things}", "I am looking for {things}. How many are there"),
        ("Could you count how many {things} this shows", "What number of {things} is in front of you",
         f"I need to know how many {{things}} my {P} has", "How often do {things} occur here",
         f"{{things}}: how many are in the {P}")),
    ("count", ZH): Wordings(
        ("[有|一共有|总共有][几|多少]个{thing}", f"{PZ}[里|中]有[几|多少]个{{thing}}", "[数一数|数一下|数数][有几个|]{thing}",
         "{thing}有[几|多少]个", "你[看到|看见][几|多少]个{thing}", "[告诉我|说出]{thing}的[数量|个数]", "[几|多少]个{thing}",
         f"{PZ}[里|中]{{thing}}的[数量|个数]是多少", "能看到[几|多少]个{thing}", "能告诉我有[几|多少]个{thing}吗", "你知道[有几个{thing}|{thing}有几个]吗", "{thing}出现了[几|多少]次", "画了[几|多少]个{thing}", "总共能找到[几|多少]个{thing}", "能不能数一下{thing}",
         "{thing}：[数一数|一共多少]", "只数{thing}，有[几|多少]个"),
        ("请问{thing}一共是几个", f"帮我数一下{PZ}里的{{thing}}", "{thing}总共出现了几个", "上面画了几个{thing}")),
    ("position", EN): Wordings(
        ("Where is the {thing}", f"Where [in|on] the {P} is the {{thing}}", "Where [do|can] you see the {thing}",
         "In [what|which] [place|part|corner] is the {thing}", f"In [what|which] part of the {P} is the {{thing}}",
         "[Tell me|Say] where the {thing} is", "What is the position of the {thing}", "Find the {thing}",
         "Where can I find the {thing}", "The {thing} is where", "Is the {thing} at the top, at the bottom or in the middle",
         "Is the {thing} on the left or on the right", "Show me the {thing}",
         "Do you [know|see] where the {thing} is", "Say where you find the {thing}", "I am looking for the {thing}. Where is it", "The place of the {thing}, please",
         "Describe where the {thing} is", "The {thing} is in which place", "Point to the {thing}", "Can you [find|locate] the {thing}, and where", "As for the {thing}, where is it",
         "[Could|Would] you tell me where the {thing} is", f"Which [part|place] of the {P} has the {{thing}}",
         f"In my {P}, where is the {{thing}}"),
        ("At which place do you see the {thing}", f"Whereabouts in the {P} is the {{thing}}", "Could you locate the {thing} for me",
         "The {thing}: where is it", "Describe the position of the {thing}")),
    ("position", ZH): Wordings(
        ("{thing}在哪里", "{thing}在[什么位置|哪儿|哪个位置|哪个角]", f"{{thing}}在{PZ}的[哪里|什么位置|哪个位置|哪一边]",
         "[告诉我|说出]{thing}[在哪里|的位置]", "你在哪里[看到|看见]{thing}", "[找到|找一下]{thing}", "{thing}的位置[是什么|在哪里]",
         "哪里有{thing}", "{thing}在左边还是右边", "{thing}在上面还是下面", "能告诉我{thing}在哪[里|儿]吗", "[能不能|可以|能]说一下{thing}的位置[吗|]", "你知道{thing}在哪里吗", "{thing}在哪个地方", "请指一下{thing}在哪里",
         f"{PZ}的哪个[部分|地方]有{{thing}}", "去哪里找{thing}", "{thing}画在哪里", "{thing}在什么方位"),
        ("请问{thing}位于哪里", "{thing}处在什么地方", f"能指出{{thing}}在{PZ}里的位置吗", "我该在哪里找{thing}")),
    ("side", EN): Wordings(
        ("Is the {first} to the [{a} or to the {b}] of the {second}", "On which side of the {second} is the {first}",
         "Where is the {first}, seen from the {second}", "Where is the {first} [relative|compared] to the {second}",
         "Which way from the {second} is the {first}", "How is the {first} placed next to the {second}",
         "Is the {first} left, right, above or below the {second}",
         "[Tell me|Say] on which side of the {second} the {first} is", "In [what|which] direction from the {second} do you [find|see] the {first}", "If I stand at the {second}, where is the {first}",
         "Seen from the {second}, where is the {first}", "Does the {first} lie left, right, above or below the {second}", "Which side of the {second} has the {first}",
         "Starting at the {second}, where do I [find|see] the {first}", "Where is the {first} if you look from the {second}", "To which side of the {second} is the {first}",
         "Where does the {first} lie from the {second}"),
        ("From the {second}, in which direction is the {first}", "What side of the {second} is the {first} on",
         "Looking from the {second}, where is the {first}")),
    ("side", ZH): Wordings(
        ("{first}在{second}的[哪边|哪一边|什么方向|哪里|哪个方向]", "[从{second}看，|相对于{second}，]{first}在[哪里|哪边]", "{first}在{second}的左边、右边、上面还是下面",
         "{second}的哪一边是{first}", "[告诉我|说出]{first}在{second}的哪边", "{first}是在{second}的左边还是右边", "{first}是在{second}的上面还是下面", "和{second}比，{first}在哪个方向", "{first}相对{second}[在哪里|的位置是什么]",
         "站在{second}那里看，{first}在哪边", "把{second}当作中心，{first}在哪里", "能告诉我{first}在{second}的哪边吗", "{second}的什么方位有{first}", "{first}处于{second}的哪一边"),
        ("请问{first}位于{second}的哪个方位", "以{second}为中心，{first}在哪边")),
    ("at place", EN): Wordings(
        ("What is [in|at] the {place}", "What [do you see|can you see|is shown] [in|at] the {place}", "Which [shape|thing|object] is [in|at] the {place}",
         f"What is [in|at] the {{place}} of the {P}", "[Name|Tell me] what is [in|at] the {place}", "[In|At] the {place}, what is there",
         "[Describe|Name] the [shape|object] [in|at] the {place}"),
        ("Which thing can be found at the {place}", "Have a look at the {place}: what is it")),
    ("at place", ZH): Wordings(
        ("{place}[是|有]什么", "{place}的[图形|东西|形状]是什么", f"{PZ}[的|]{{place}}[是|有]什么", "你在{place}[看到|看见]什么", "[说出|告诉我]{place}是什么",
         "什么在{place}"),
        ("请说说{place}画了什么", "看{place}，那是什么")),
    ("size", EN): Wordings(
        ("[Which|What] [shape|one|thing|object] is the {most}", "What is the {most} [shape|thing|object]", f"Which is the {{most}} [shape|object|thing] in the {P}",
         "[Name|Find|Tell me] the {most} [shape|one|thing|object]", "Which of them is the {most}", "The {most} [shape|object] is what"),
        ("Among all of these, which is the {most}", "Could you say which shape is the {most} here")),
    ("size", ZH): Wordings(
        ("[哪个|哪一个|什么][图形|东西|形状|]最{most}", "最{most}的[图形|东西|形状|]是[什么|哪个]", f"{PZ}[里|中]最{{most}}的是[什么|哪个]", "[说出|找出|告诉我]最{most}的[图形|东西|]", "它们当中最{most}的是哪个", "能告诉我哪个最{most}吗", "你知道最{most}的是什么吗", "其中最{most}的图形是哪个"),
        ("这些当中哪一个最{most}", "请问最{most}的那个是什么")),
    ("there", EN): Wordings(
        ("Is there [a|any] {thing} [in the picture|in this image|here|]", "Do you see a {thing}", f"Does the {P} [show|contain|have] a {{thing}}",
         "Can you see [a|any] {thing}", "Is a {thing} [in it|shown|there]", f"Is there a {{thing}} [anywhere|somewhere|] in [this|the] {P}",
         "Does it [show|have] a {thing}", "Is a {thing} to be seen", "Might there be a {thing}", "[Do|Can|Could] you find a {thing}", "Did I draw a {thing}", f"Has [my|the] {P} a {{thing}}", "Is it true that there is a {thing}",
         "Is a {thing} among them", "Is [one|any] of them a {thing}"),
        (f"Could there be a {{thing}} in this {P}", "Can a {thing} be seen anywhere", "Has it got a {thing}")),
    ("there", ZH): Wordings(
        ("有{thing}吗", f"{PZ}[里|中]有{{thing}}吗", f"{PZ}[里|中]有没有{{thing}}", "有没有{thing}", "你[看到|看见]{thing}了吗", "能看到{thing}吗", "[这里|上面]有{thing}吗", "是不是有{thing}", "存在{thing}吗", f"{PZ}里找得到{{thing}}吗", "你[发现|找到]{thing}了吗", "能不能看到{thing}", "有{thing}没有", "看得到{thing}吗", "其中有{thing}吗"),
        ("是否有{thing}", "请问能找到{thing}吗")),
    ("digits", EN): Wordings(
        ("[What|Which] number [is this|is it|is that|do you see|can you see|is shown|is written|is drawn]", f"[What|Which] number is [in|on] [this|the] {P}",
         "Read the [number|digits]", f"[Read|Tell me|Name] the [number|digits] [in|on] the {P}", "[What|Which] [digit|digits] [is this|are these|do you see|can you see]",
         f"What does the {P} [say|show]", "What is written [here|there|on it]", "[Tell me|Say] the number", "[Can|Could] you read the number",
         f"Which number does the {P} [show|contain]", "Read this", "What number stands here", "What is this", f"What do you see [in|on] the {P}",
         "Do you see which number this is", "Say which number [is written|you see|it is]", "The digits, please", "I wrote a number. Which one", f"Read the [number|digits] [in|of|from] my {P}"),
        ("Could you tell me what number this is", f"Please read out the digits of my {P}", "I cannot read it. Which number is this",
         "Do you recognise the number", "What number has been written down")),
    ("digits", ZH): Wordings(
        ("这是什么数[字|]", f"{PZ}[里|中|上]是什么数字", f"{PZ}[里|中|上]的数字是[什么|多少|几]", "[读出|读一下|说出]这个数[字|]", "[写的|上面]是什么数字", "这个数字是[多少|几|什么]",
         "你[看到|看见]什么数字", "数字是[多少|几|什么]", "[上面|这里]写的是什么", "这是几", "这是什么", "你知道这是什么数字吗", "能读一下这个数字吗", "能告诉我数字是多少吗", "画的是数字几", "写着多少"),
        ("请问上面的数是多少", "能认出这个数字吗", f"帮我读{PZ}里的数字", "图上写着几")),
    ("word", EN): Wordings(
        ("[What|Which] word [is this|do you see|can you see|is shown|is written]", f"[What|Which] word is [in|on] [this|the] {P}", "Read the [word|text]", "What does it say",
         f"What does the {P} say", f"[Read|Tell me] the [word|text] [in|on] the {P}", "What is written [here|there|on it]", "[Can|Could] you read [it|this|the word]", "Read this",
         "What text do you see","Do you [see|know] which word this is", "The word, please", "Say which word it is", f"Read the [word|text] [of|from] my {P}", "Could you read [this|it]", "What is this", f"What does the {P} show"),
        ("Could you tell me which word this is", f"Please read out the text of my {P}", "Do you recognise the word")),
    ("word", ZH): Wordings(
        ("这是什么[单词|词|字]", f"{PZ}[里|中|上]写[的是|了]什么", "[读出|读一下|说出][这个|]单词", "[上面|这里]写的是什么", "你[看到|看见]什么[单词|文字]", f"{PZ}[里|中|上]的[单词|文字]是什么", "写了什么",
         "这是什么", "你知道这是什么单词吗", "能读一下这个单词吗", "能告诉我写的是什么吗"),
        ("请问上面的文字是什么", "能认出这个单词吗", f"帮我读{PZ}里的词")),
    ("ink", EN): Wordings(
        ("[What|Which] [colour|color] is the {what}", "What is the [colour|color] of the {what}", "In [what|which] [colour|color] is the {what} [written|drawn]", "[Tell me|Name] the [colour|color] of the {what}"),
        ("Of what colour is the {what}", "The {what}, what colour is it")),
    ("ink", ZH): Wordings(
        ("{what}是什么颜色[的|]", "{what}的颜色是什么", "{what}是用什么颜色写的", "[告诉我|说出]{what}的颜色"), ("请问{what}是哪种颜色", "能说说{what}的颜色吗")),
    ("bar", EN): Wordings(
        ("[Which|What] bar is the {most}", "Which is the {most} bar", "What [colour|color] is the {most} bar", "What is the [colour|color] of the {most} bar", f"Which bar in the [chart|diagram|{P}] is the {{most}}",
         "[Name|Find|Tell me] the {most} bar", "The {most} bar is which one", "[Which|What] bar has the {value} value", "Which [colour|color] has the {value} value"),
        ("Of these bars, which one is the {most}", "What bar would you call the {most}", "Could you point out the {most} bar")),
    ("bar", ZH): Wordings(
        ("[哪根|哪个|哪条|什么颜色的]柱子最{most}", "最{most}的[柱子|那根柱子]是[哪根|什么颜色|哪个|哪一个]", "图表[里|中]哪[根|个]柱子最{most}", "[说出|找出|告诉我]最{most}的柱子", "哪个颜色的值最{value}", "哪[根|个]柱子的值最{value}"),
        ("这些柱子当中哪一根最{most}", "请问最{most}的柱子是什么颜色的")),
    ("describe", EN): Wordings(
        ("What do you see", f"[What is|What's] in [this|the] {P}", f"Describe [this|the] {P}", f"What [can you see|do you see] in [this|the] {P}", "[Tell me|Say] what you see", f"What does [this|the] {P} show",
         "[Please describe it|Describe it|Describe what you see]", "What can you see [here|]", "What is this", "Explain this picture", f"[Tell me|Say something] about [this|the] {P}",
         f"What is shown [here|in the {P}]", "What's this", "Look at this", f"Here is [a|my] {P}", "Give me a description"),
        (f"Could you describe my {P} for me", "What is there to see", f"Please tell me everything that the {P} contains", "Put what you see into words")),
    ("describe", ZH): Wordings(
        ("你[看到|看见]了什么", "你看到什么", f"{PZ}[里|中]有什么", f"[描述|说说|介绍]一下[这张图|{PZ}]", f"[描述|说说]{PZ}", "这是什么", "这张[图|图片|照片]里有什么", "能看到什么", "[看看|看一下]这张[图|图片]", "上面有什么",
         f"{PZ}里是什么", "画了什么", "能描述一下吗", "可以[介绍|讲讲|说说]一下这张[图|图片|照片]吗", "用几句话说说这张图", f"{PZ}的内容是什么", f"告诉我{PZ}里有什么", "讲一讲这张图", "把看到的都说出来",
         "说说你[看到|看见]的", f"能不能说说{PZ}里有什么", "请描述你看到的东西", f"{PZ}画的是什么内容"),
        ("请告诉我你看见的东西", "用一句话讲讲这张图", f"能说一说{PZ}的内容吗")),
    ("beyond", EN): Wordings(
        ("[Who|What person] is [this|in the picture]", "Who [drew|took|made] this", "When was this [picture|photo] taken", "Where was this [picture|photo] taken", "What is [the weather|the person] like in the picture",
         "How much does [this|it] cost", "What is the name of the [person|man|woman|dog]", "How old is the [person|man|woman|girl|boy]", "What [brand|make] is [it|this]", "Which city is this", "What is the [man|woman] doing", "What does it smell like",
         "What will happen next", "How heavy is it", "Which [street|town|place] is [this|it]", "Whose is [it|this]", "In what country was this taken", "Who is the owner", "What is the date", "How far away is it", "Why did [they|you] draw it"),
        ("Whose picture is this", "In which year was this made", "What is the person wearing", "Which country is that")),
    ("beyond", ZH): Wordings(
        ("这是谁", "[这张图是谁画的|谁画的]", "这张照片是什么时候拍的", "这是在哪里拍的", "这个多少钱", "这个人叫什么[名字|]", "[图里的人|他|她]几岁了", "这是什么牌子[的|]", "这是哪个城市", "[图里的人|他|她]在做什么", "[接下来|之后]会怎样", "它有多重", "天气怎么样"),
        ("这是谁的照片", "这是哪一年做的", "这个人穿了什么", "这是哪个国家")),
    ("same", EN): Wordings(
        ("Are the two pictures the same", "Are these [two|] [pictures|images] [equal|the same|identical]", "[What|What's] the difference [between the two pictures|between them|]", "Do both pictures show the same", "Compare the two [pictures|images]",
         "Is there a difference", "Do the two [pictures|images] differ", "Same or different"),
        ("Would you say that both pictures are alike", "Tell me whether the two images agree")),
    ("same", ZH): Wordings(
        ("[两张图|这两张图|两张图片][一样吗|相同吗|一样不一样]", "[两张图|两张图片]有什么[不同|区别]", "[比较|对比]一下[两张图|两张图片]", "它们一样吗", "[有区别吗|有什么不同]"),
        ("请问这两张画面相同与否", "两幅图是同样的吗")),
    ("which picture", EN): Wordings(
        ("What is in the {nth} [picture|image]", "What does the {nth} [picture|image] show", "What do you see in the {nth} [picture|image|one]", "Describe the {nth} [picture|image]", "[Tell me|Say] what the {nth} picture shows"),
        ("And the {nth} picture, what is in it", "Please name the content of the {nth} image")),
    ("which picture", ZH): Wordings(
        ("{nth}张[图|图片][里|中|]是什么", "{nth}张[图|图片][里|中]有什么", "[描述|说说]{nth}张[图|图片]", "{nth}张图你看到什么"), ("请说说{nth}张画面的内容", "{nth}幅图里画了什么")),
}  # fmt: skip

# Put before or behind a question in training, so that its core is what counts.
FRAMES = {
    EN: (("Tell me, ", ""), ("Do you know: ", ""), ("I wonder, ", ""), ("Please say, ", ""), ("Look closely. ", ""), ("Here is my question: ", ""),
         ("Have a look: ", ""), ("", " here"), ("", " in my picture"), ("", " in this picture"), ("", " in my photo"), ("In this image, ", ""), ("I have a picture. ", ""),
         ("Could you help me? ", ""), ("You see my picture. ", ""), ("What do you think, ", "")),
    ZH: (("请看图，", ""), ("告诉我，", ""), ("我想问，", ""), ("你觉得，", ""), ("看一看，", ""), ("在这张图里，", ""), ("帮我看看，", ""), ("仔细看，", ""),
         ("我有一张图，", ""), ("你说说，", ""), ("我不清楚，", ""), ("请你看一下，", "")),
}  # fmt: skip
SORRY = {
    EN: ("I cannot tell that from the picture.", "The picture does not show that, so I cannot tell."),
    ZH: ("从图片上看不出来。", "图片里没有这个信息，我看不出来。"),
}
NOT_THERE = {
    EN: ("I cannot tell: I see no {thing} in the picture.", "There is no {thing} in the picture."),
    ZH: ("看不出来，图片里没有{thing}。", "图片里没有{thing}。"),
}
NO_PICTURE = {
    EN: ("I see no picture in this chat. Please add one.", "There is no picture here yet. Please send me one."),
    ZH: ("这里没有图片，请先发一张给我。", "我没有看到图片，请发一张图片。"),
}
# Asked without a picture.
ABILITY = {
    EN: ("[Can|Do] you see [pictures|images|photos]", "Do you have eyes", "Can I send you [a picture|an image|a photo]",
         "[Can|Could] you [read|look at|understand] [pictures|images]", "Are you able to see [pictures|images]",
         "What [kind|sort] of pictures can you read"),
    ZH: ("你[能|可以|会]看图[片|]吗", "你有眼睛吗", "[能|可以]发[一张|]图片[给你|]吗", "你能看懂[图片|照片]吗", "你会看什么图片"),
}  # fmt: skip
ABLE = {
    EN: ("Yes, simple pictures: shapes and colours, numbers, short words and bar charts. Of photos I understand little.",
         "I can read simple pictures: shapes, colours, counts, numbers, short words and bar charts."),
    ZH: ("可以，我能看简单的图片：形状、颜色、数字、短单词和柱状图。照片我看不太懂。",
         "我能看懂简单的图片，比如形状、颜色、数量、数字和柱状图。"),
}  # fmt: skip
NEGATIVES = ("no ", "not ", "cannot", "没有", "不出", "不一样", "不同")
CHOICE = re.compile(r"\[([^\[\]]*)\]")


def spell(rng: Random, wording: str) -> str:
    """Choose among the alternatives of a wording, the inner ones first."""
    while match := CHOICE.search(wording):
        wording = wording[: match.start()] + rng.choice(match[1].split("|")) + wording[match.end() :]
    return wording


def ask(rng: Random, kind: str, language: str, unseen: bool, **slots: str) -> str:
    """Ask in some wording of a kind; those of the evaluation are typed without errors."""
    wordings = ASK[kind, language]
    text = spell(rng, rng.choice(wordings.unseen if unseen else wordings.trained))
    text = fill(text, **slots).strip()
    if not unseen and kind not in ("describe", "same") and rng.random() < 0.25:
        before, after = rng.choice(FRAMES[language])
        text = (
            before
            + (text[:1].lower() + text[1:] if before else text)
            + ("" if "picture" in text or "image" in text else after)
        )
    text = sentence(text)
    return text + ("？" if language == ZH else "?") if unseen else mistype(rng, dress(rng, text, language), language)


def article(word: str) -> str:
    return ("an " if word[0] in "aeio" else "a ") + word


def shape_name(shape: str, language: str) -> str:
    return SHAPES_ZH[shape] if language == ZH else shape


def colour_name(colour: str, language: str) -> str:
    return COLOURS_ZH[colour] if language == ZH else colour


def named(thing: Thing, language: str) -> str:
    return f"{COLOURS_ZH[thing.colour]}{SHAPES_ZH[thing.shape]}" if language == ZH else f"{thing.colour} {thing.shape}"


def place_name(cell: str, language: str) -> str:
    if language == ZH:
        return CELLS_ZH[cell]
    return {"left": "on the left", "right": "on the right", "middle": "in the middle"}.get(cell, f"at the {cell}")


def others(value: str, values: dict[str, str] | tuple[str, ...], language: str) -> tuple[str, ...]:
    """Return the names of the same kind that a right answer does not have."""
    names = [values[v] if isinstance(values, dict) and language == ZH else v for v in values]
    mine = values[value] if isinstance(values, dict) and language == ZH else value
    return tuple(name for name in names if name not in mine and mine not in name)


def only(scene: Scene, **wanted: str) -> Thing | None:
    """Return the one thing with these properties, or None."""
    found = [t for t in scene.things if all(getattr(t, name) == value for name, value in wanted.items())]
    return found[0] if len(found) == 1 else None


Maker = Callable[[Random, Scene, str, bool], Look | None]


def shape(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    thing = rng.choice(scene.things)
    name = shape_name(thing.shape, language)
    if len(scene.things) == 1:
        question = ask(rng, "shape", language, unseen)
    elif only(scene, colour=thing.colour):
        question = ask(rng, "shape of", language, unseen, colour=colour_name(thing.colour, language))
    else:
        return None
    full = named(thing, language)
    answers = {
        EN: (f"It is {article(full)}.", f"This is {article(full)}.", f"{sentence(article(full))}."),
        ZH: (f"这是{full}。", f"是{full}。", f"一个{full}。"),
    }
    return Look(
        "shape", language, question, rng.choice(answers[language]), (name,), others(thing.shape, SHAPES_ZH, language)
    )


def colour(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    if rng.random() < 0.15:
        return background(rng, scene, language, unseen)
    thing = rng.choice(scene.things)
    if not only(scene, shape=thing.shape):
        return None
    name, hue = shape_name(thing.shape, language), colour_name(thing.colour, language)
    question = ask(rng, "colour", language, unseen, shape=name)
    answers = {
        EN: (f"The {name} is {hue}.", f"It is {hue}.", f"{sentence(hue)}."),
        ZH: (f"{name}是{hue}的。", f"是{hue}。", f"{hue}。"),
    }
    return Look(
        "colour", language, question, rng.choice(answers[language]), (hue,), others(thing.colour, COLOURS_ZH, language)
    )


def background(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    hue = colour_name(scene.background, language)
    question = ask(rng, "background", language, unseen)
    answers = {EN: (f"The background is {hue}.", f"It is {hue}."), ZH: (f"背景是{hue}的。", f"背景是{hue}。")}
    return Look(
        "colour",
        language,
        question,
        rng.choice(answers[language]),
        (hue,),
        others(scene.background, COLOURS_ZH, language),
    )


def things_name(rng: Random, scene: Scene, language: str) -> tuple[str, str, int]:
    """Choose what to count: its name for one, its name for several, and how many there are."""
    luck, thing = rng.random(), rng.choice(scene.things)
    if luck < 0.4:
        one, many = rng.choice((("shape", "shapes"), ("object", "objects"), ("thing", "things")))
        return (
            (rng.choice(("图形", "形状", "东西")),) * 2 + (len(scene.things),)
            if language == ZH
            else (one, many, len(scene.things))
        )
    wanted = {"shape": thing.shape, "colour": thing.colour}
    if luck < 0.75:
        wanted = {"shape": thing.shape if rng.random() < 0.88 else rng.choice(SHAPES)}
    elif luck < 0.9:
        wanted = {"colour": thing.colour}
    count = sum(all(getattr(t, k) == v for k, v in wanted.items()) for t in scene.things)
    hue, name = wanted.get("colour"), wanted.get("shape")
    if language == ZH:
        text = (COLOURS_ZH[hue] + ("" if name else "的图形") if hue else "") + (SHAPES_ZH[name] if name else "")
        return text, text, count
    one = " ".join(part for part in (hue, name or "shape") if part)
    return one, one + ("es" if one.endswith("cross") else "s"), count


def count(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    one, many, number = things_name(rng, scene, language)
    question = ask(rng, "count", language, unseen, things=many, thing=one)
    return counted(rng, language, question, one, many, number)


def counted(rng: Random, language: str, question: str, one: str, many: str, number: int) -> Look:
    wrong = tuple(str(n) for n in range(1, 10) if n != number)
    if not number:
        answer = f"There are no {many} in the picture." if language == EN else f"图片里没有{one}。"
        return Look("count", language, question, answer, (), tuple("123456789"), (*NEGATIVES, "0"))
    answers = {
        EN: (
            f"There {'is' if number == 1 else 'are'} {number} {one if number == 1 else many}.",
            f"I see {number} {one if number == 1 else many}.",
            f"{number}.",
        ),
        ZH: (f"有{number}个{one}。", f"一共有{number}个{one}。", f"{number}个。"),
    }
    return Look("count", language, question, rng.choice(answers[language]), (str(number),), wrong)


def position(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    if len(scene.things) > 1 and rng.random() < 0.5:
        return side(rng, scene, language, unseen)
    thing = rng.choice(scene.things)
    if thing.cell is None:
        return None
    name = (
        named(thing, language)
        if not only(scene, shape=thing.shape) or rng.random() < 0.4
        else shape_name(thing.shape, language)
    )
    if not only(scene, shape=thing.shape, colour=thing.colour):
        return None
    place = place_name(thing.cell, language)
    answers = {EN: (f"The {name} is {place}.", f"It is {place}."), ZH: (f"{name}在{place}。", f"在{place}。")}
    question = ask(rng, "position", language, unseen, thing=name)
    parts = (CELLS_ZH[thing.cell],) if language == ZH else tuple(thing.cell.split())
    words = ("左", "右", "上", "下", "中间") if language == ZH else ("left", "right", "top", "bottom", "middle")
    wrong = tuple(word for word in words if not any(word in part for part in parts))
    must = parts if language == EN else tuple(word for word in words if word in parts[0])
    return Look("position", language, question, rng.choice(answers[language]), must, wrong)


def direction(first: Thing, second: Thing) -> str | None:
    """Return where the first is, seen from the second, if that is plain."""
    dx, dy = first.x - second.x, first.y - second.y
    if abs(dx) > 0.2 and abs(dx) > 1.6 * abs(dy):
        return "right" if dx > 0 else "left"
    if abs(dy) > 0.2 and abs(dy) > 1.6 * abs(dx):
        return "below" if dy > 0 else "above"
    return None


def side(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    first, second = rng.sample(scene.things, 2)
    way = direction(first, second)
    if way is None or not all(only(scene, shape=t.shape, colour=t.colour) for t in (first, second)):
        return None
    names = [
        shape_name(t.shape, language) if only(scene, shape=t.shape) else named(t, language) for t in (first, second)
    ]
    a, b = rng.sample(("left", "right"), 2)
    question = ask(rng, "side", language, unseen, first=names[0], second=names[1], a=a, b=b)
    question = question.replace("to the to the", "to the")
    answers = {
        EN: f"The {names[0]} is {SIDES[EN][way]} the {names[1]}.",
        ZH: f"{names[0]}在{names[1]}的{SIDES[ZH][way]}。",
    }
    must = {EN: way, ZH: SIDES[ZH][way]}[language]
    return Look(
        "position",
        language,
        question,
        answers[language],
        (must,),
        tuple(w for w in (SIDES[ZH].values() if language == ZH else SIDES[EN]) if w != must),
    )


def at_place(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    thing = rng.choice(scene.things)
    if thing.cell is None or any(t.cell is None or thing.cell in t.cell for t in scene.things if t is not thing):
        return None
    place = (
        CELLS_ZH[thing.cell]
        if language == ZH
        else thing.cell + (" corner" if " " in thing.cell and rng.random() < 0.5 else "")
    )
    full = named(thing, language)
    question = ask(rng, "at place", language, unseen, place=place)
    answers = {EN: (f"It is {article(full)}.", f"There is {article(full)}."), ZH: (f"是{full}。", f"{place}是{full}。")}
    return Look(
        "position",
        language,
        question,
        rng.choice(answers[language]),
        (shape_name(thing.shape, language),),
        others(thing.shape, SHAPES_ZH, language),
    )


def size(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    by_size = sorted(scene.things, key=lambda t: t.radius)
    if len(by_size) < 2:
        return None
    is_large = rng.random() < 0.6
    thing, next_one = (by_size[-1], by_size[-2]) if is_large else (by_size[0], by_size[1])
    ratio = thing.radius / next_one.radius
    same = sum((t.shape, t.colour) == (thing.shape, thing.colour) for t in scene.things)
    if (ratio if is_large else 1 / ratio) < 1.3 or same > 1:
        return None
    most = (
        rng.choice(("largest", "biggest") if is_large else ("smallest",))
        if language == EN
        else ("大" if is_large else "小")
    )
    full = named(thing, language)
    question = ask(rng, "size", language, unseen, most=most)
    answers = {
        EN: (f"The {full} is the {most}.", f"It is the {full}."),
        ZH: (f"最{most}的是{full}。", f"{full}最{most}。"),
    }
    return Look("size", language, question, rng.choice(answers[language]), (full,))


def there(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    thing = rng.choice(scene.things)
    if rng.random() < 0.5:
        thing = Thing(rng.choice(SHAPES), rng.choice(list(COLOURS)), 0, 0, 0)
    by_colour = rng.random() < 0.5
    name = named(thing, language) if by_colour else shape_name(thing.shape, language)
    is_there = any(t.shape == thing.shape and (not by_colour or t.colour == thing.colour) for t in scene.things)
    question = ask(rng, "there", language, unseen, thing=name)
    yes = {EN: f"Yes, there is {article(name)}.", ZH: f"是的，有{name}。"}
    no = {EN: f"No, I see no {name}.", ZH: f"没有，我没看到{name}。"}
    if is_there:
        return Look("yes or no", language, question, yes[language], (), ("没有",), ("Yes", "是的"))
    return Look("yes or no", language, question, no[language], (), (), ("No", "没有"))


def absent(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    """Ask about something that is not there, or that no picture of shapes can tell."""
    if rng.random() < 0.35:
        question = ask(rng, "beyond", language, unseen)
        return Look("cannot tell", language, question, rng.choice(SORRY[language]), (), (), NEGATIVES)
    missing = [s for s in SHAPES if all(t.shape != s for t in scene.things)]
    name = shape_name(rng.choice(missing), language)
    kind = rng.choice(("colour", "position"))
    question = ask(rng, kind, language, unseen, shape=name, thing=name)
    return Look("cannot tell", language, question, fill(rng.choice(NOT_THERE[language]), thing=name), (), (), NEGATIVES)


def described(scene: Scene, language: str) -> str:
    """Say what is in a picture, from top to bottom."""
    hue = colour_name(scene.background, language)
    if scene.kind == "empty":
        return f"The picture is empty: I see only {hue}." if language == EN else f"图片是空的，只有{hue}。"
    if scene.text:
        what, ink = ("number", "数字") if scene.kind == "number" else ("word", "单词"), colour_name(scene.ink, language)
        return (
            f"I see the {what[0]} {scene.text} in {ink} on a {hue} background."
            if language == EN
            else f"{hue}背景上有{ink}的{what[1]} {scene.text}。"
        )
    if scene.kind == "bars":
        bars = [colour_name(bar.colour, language) for bar in scene.things]
        if language == EN:
            return f"I see a bar chart with {len(bars)} bars, from left to right: {', '.join(bars)}."
        return f"这是柱状图，有{len(bars)}根柱子，从左到右：{'、'.join(bars)}。"
    things = sorted(scene.things, key=lambda t: (round(t.y * 2.5), t.x))
    if language == EN:
        parts = [article(named(t, EN)) + (f" {place_name(t.cell, EN)}" if t.cell else "") for t in things]
        listed = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
        return (
            f"I see {listed}, on a {hue} background."
            if len(parts) == 1
            else f"I see {len(parts)} shapes: {listed}, on a {hue} background."
        )
    listed = "、".join((CELLS_ZH[t.cell] + "的" if t.cell else "一个") + named(t, ZH) for t in things)
    return f"我看到{len(things)}个图形：{listed}，背景是{hue}。"


def describe(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    question = ask(rng, "describe", language, unseen)
    wanted = (
        [named(t, language) for t in scene.things] if scene.kind == "shapes" else [scene.text] if scene.text else []
    )
    return Look("description", language, question, described(scene, language), tuple(wanted))


def read(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    if rng.random() < 0.15:
        return ink(rng, scene, language, unseen)
    is_number = scene.kind == "number"
    question = ask(rng, "digits" if is_number else "word", language, unseen)
    answers = {
        EN: (
            f"It is {scene.text}.",
            f"{scene.text}",
            f"The number is {scene.text}." if is_number else f"It says {scene.text}.",
        ),
        ZH: (
            f"是 {scene.text}。",
            f"{scene.text}",
            f"数字是 {scene.text}。" if is_number else f"写的是 {scene.text}。",
        ),
    }
    return Look("digits" if is_number else "words", language, question, rng.choice(answers[language]), (scene.text,))


def ink(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    what = {EN: ("number", "word"), ZH: ("数字", "单词")}[language][scene.kind == "word"]
    hue = colour_name(scene.ink, language)
    question = ask(rng, "ink", language, unseen, what=what)
    answer = f"The {what} is {hue}." if language == EN else f"{what}是{hue}的。"
    return Look("colour", language, question, answer, (hue,), others(scene.ink, COLOURS_ZH, language))


def bar(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    number = len(scene.things)
    if rng.random() < 0.35:
        one, many = ("柱子", "柱子") if language == ZH else ("bar", "bars")
        question = ask(rng, "count", language, unseen, things=many, thing=one)
        look = counted(rng, language, question, one, many, number)
        return Look("bars", language, look.question, look.answer.replace("个", "根"), look.must, look.must_not)
    is_tall = rng.random() < 0.6
    best = (max if is_tall else min)(range(number), key=lambda i: scene.things[i].radius)
    hue = colour_name(scene.things[best].colour, language)
    most = (
        rng.choice(("tallest", "highest", "longest") if is_tall else ("shortest", "lowest", "smallest"))
        if language == EN
        else ("高" if is_tall else rng.choice("低矮短"))
    )
    value = ("highest" if is_tall else "lowest") if language == EN else ("大" if is_tall else "小")
    question = ask(rng, "bar", language, unseen, most=most, value=value)
    answer = f"The {hue} bar is the {most}." if language == EN else f"{hue}的柱子最{most}。"
    return Look("bars", language, question, answer, (hue,), others(scene.things[best].colour, COLOURS_ZH, language))


def not_here(rng: Random, scene: Scene, language: str, unseen: bool) -> Look | None:
    """Ask for a shape, a number or a word in a picture that has none."""
    kind = rng.choice(
        [k for k, of in (("digits", "number"), ("colour", "shapes"), ("position", "shapes")) if of != scene.kind]
    )
    if kind == "digits":
        question = ask(rng, kind, language, unseen)
        if not re.search(r"number|digit|数|几", question, re.I):
            return None
        answer = {EN: "I see no number in the picture.", ZH: "图片里没有数字。"}[language]
        return Look("cannot tell", language, question, answer, (), (), NEGATIVES)
    name = shape_name(rng.choice(SHAPES), language)
    question = ask(rng, kind, language, unseen, shape=name, thing=name)
    return Look("cannot tell", language, question, fill(rng.choice(NOT_THERE[language]), thing=name), (), (), NEGATIVES)


MAKERS: dict[str, tuple[tuple[Maker, float], ...]] = {
    "shapes": ((shape, 14), (colour, 12), (count, 26), (position, 30), (at_place, 6), (size, 8), (there, 10), (absent, 6), (not_here, 2), (describe, 14)),
    "number": ((read, 20), (describe, 4), (not_here, 2)),
    "word": ((read, 20), (describe, 4), (not_here, 2)),
    "bars": ((bar, 20), (describe, 4), (not_here, 2)),
    "empty": ((describe, 4), (not_here, 4), (background, 2)),
}  # fmt: skip


def looks(rng: Random, scene: Scene, language: str, unseen: bool = False) -> Iterator[Look]:
    """Ask about a scene for ever, one thing after the other."""
    makers, weights = zip(*MAKERS[scene.kind], strict=True)
    while True:
        look = rng.choices(makers, weights)[0](rng, scene, language, unseen)
        if look is not None:
            yield look


def two(rng: Random, scenes: tuple[Scene, Scene], language: str, unseen: bool = False) -> Look:
    """Ask about two pictures at once."""
    if rng.random() < 0.5:
        which = rng.randrange(2)
        question = ask(rng, "which picture", language, unseen, nth=ORDINALS[language][which])
        chosen = scenes[which]
        wanted = (
            [named(t, language) for t in chosen.things]
            if chosen.kind == "shapes"
            else [chosen.text]
            if chosen.text
            else []
        )
        return Look("two pictures", language, question, described(chosen, language), tuple(wanted))
    question = ask(rng, "same", language, unseen)
    if scenes[0].signature() == scenes[1].signature():
        answer = {EN: "Both pictures show the same.", ZH: "两张图是一样的。"}[language]
        return Look("two pictures", language, question, answer, (), ("different", "不一样"), ("the same", "一样"))
    first, second = (short(scene, language) for scene in scenes)
    answer = {
        EN: f"They are different: the first shows {first}, the second {second}.",
        ZH: f"不一样：第一张是{first}，第二张是{second}。",
    }[language]
    return Look("two pictures", language, question, answer, (), (), ("different", "不一样"))


def short(scene: Scene, language: str) -> str:
    """Name the content of a picture in a few words."""
    if scene.text:
        return (
            f"the {scene.kind} {scene.text}"
            if language == EN
            else f"{'数字' if scene.kind == 'number' else '单词'} {scene.text}"
        )
    if scene.kind == "bars":
        return f"a chart with {len(scene.things)} bars" if language == EN else f"有{len(scene.things)}根柱子的图表"
    if len(scene.things) == 1:
        return article(named(scene.things[0], EN)) if language == EN else named(scene.things[0], ZH)
    number = len(scene.things)
    return (
        (f"{number} shapes" if number else "nothing") if language == EN else (f"{number}个图形" if number else "空的")
    )


def without_picture(rng: Random, language: str) -> Look:
    """Ask about a picture where there is none, or whether the model sees at all."""
    if rng.random() < 0.3:
        question = dress(rng, spell(rng, rng.choice(ABILITY[language])), language)
        return Look("ability", language, question, rng.choice(ABLE[language]))
    name = shape_name(rng.choice(SHAPES), language)
    kind = rng.choice(("describe", "colour", "count", "position", "digits", "same"))
    while True:
        question = ask(rng, kind, language, False, shape=name, thing=name, things=name + "s")
        if kind != "digits" or re.search(r"number|digit|数|几|图", question, re.I):
            return Look("no picture", language, question, rng.choice(NO_PICTURE[language]), (), (), NEGATIVES)


def is_right(look: Look, answer: str) -> bool:
    """Judge an answer by the words that it must and must not have."""
    low = answer.lower()
    if look.any_of and not any(part.lower() in low for part in look.any_of):
        return False
    if any(_holds(low, part.lower()) for part in look.must_not):
        return False
    return all(_holds(low, part.lower()) for part in look.must)


def _holds(text: str, part: str) -> bool:
    """Say whether a word stands in a text, by itself if it is a word of letters or digits."""
    if re.fullmatch(r"[a-z0-9 ]+", part):
        return re.search(rf"(?<![a-z0-9]){re.escape(part)}(?![a-z0-9])", text) is not None
    return part in text
