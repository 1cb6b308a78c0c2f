"""A little knowledge of the world (capitals, categories with attributes), and honest answers about all the rest."""

from __future__ import annotations

from random import Random

from chatml import Document, chat
from common import EN, ZH, Item, draw, dress, fill, person_name

# country, capital: English; Chinese
CAPITALS = tuple(
    tuple(line.split())
    for line in """
France Paris 法国 巴黎
Germany Berlin 德国 柏林
Italy Rome 意大利 罗马
Spain Madrid 西班牙 马德里
Portugal Lisbon 葡萄牙 里斯本
Austria Vienna 奥地利 维也纳
Poland Warsaw 波兰 华沙
Greece Athens 希腊 雅典
Norway Oslo 挪威 奥斯陆
Sweden Stockholm 瑞典 斯德哥尔摩
Finland Helsinki 芬兰 赫尔辛基
Denmark Copenhagen 丹麦 哥本哈根
Ireland Dublin 爱尔兰 都柏林
Belgium Brussels 比利时 布鲁塞尔
Hungary Budapest 匈牙利 布达佩斯
Romania Bucharest 罗马尼亚 布加勒斯特
Bulgaria Sofia 保加利亚 索非亚
Croatia Zagreb 克罗地亚 萨格勒布
Switzerland Bern 瑞士 伯尔尼
Ukraine Kyiv 乌克兰 基辅
Russia Moscow 俄罗斯 莫斯科
Turkey Ankara 土耳其 安卡拉
Egypt Cairo 埃及 开罗
Kenya Nairobi 肯尼亚 内罗毕
Morocco Rabat 摩洛哥 拉巴特
Nigeria Abuja 尼日利亚 阿布贾
Ghana Accra 加纳 阿克拉
China Beijing 中国 北京
Japan Tokyo 日本 东京
India New_Delhi 印度 新德里
Thailand Bangkok 泰国 曼谷
Vietnam Hanoi 越南 河内
Malaysia Kuala_Lumpur 马来西亚 吉隆坡
Iran Tehran 伊朗 德黑兰
Iraq Baghdad 伊拉克 巴格达
Nepal Kathmandu 尼泊尔 加德满都
Mongolia Ulaanbaatar 蒙古 乌兰巴托
Australia Canberra 澳大利亚 堪培拉
Canada Ottawa 加拿大 渥太华
Mexico Mexico_City 墨西哥 墨西哥城
Cuba Havana 古巴 哈瓦那
Brazil Brasilia 巴西 巴西利亚
Argentina Buenos_Aires 阿根廷 布宜诺斯艾利斯
Chile Santiago 智利 圣地亚哥
Peru Lima 秘鲁 利马
Colombia Bogota 哥伦比亚 波哥大
Uruguay Montevideo 乌拉圭 蒙得维的亚
Cambodia Phnom_Penh 柬埔寨 金边
""".strip().splitlines()
)  # fmt: skip

# what, attribute: name; attribute, in English and Chinese
Names = tuple[str, str, str]
CATEGORIES: tuple[tuple[Names, Names, str, str], ...] = (
    (("fruits", "Fruit", "Colour"), ("水果", "水果", "颜色"),
     "apple red, banana yellow, lemon yellow, lime green, orange orange, cherry red, strawberry red, plum purple, "
     "grape purple, kiwi green, "
     "blueberry blue, peach orange, pear green, raspberry red, mango yellow",
     "苹果 红色, 香蕉 黄色, 柠檬 黄色, 青柠 绿色, 橙子 橙色, 樱桃 红色, 草莓 红色, 李子 紫色, 葡萄 紫色, 猕猴桃 绿色, "
     "蓝莓 蓝色, 桃子 粉色, 西瓜 绿色, 芒果 黄色"),
    (("animals", "Animal", "Home"), ("动物", "动物", "住处"),
     "fox forest, fish water, camel desert, bear forest, whale sea, eagle mountains, frog pond, bee hive, ant anthill, "
     "cow farm, horse stable, "
     "lion savanna, penguin ice, monkey jungle, owl forest, dolphin sea",
     "狐狸 森林, 鱼 水里, 骆驼 沙漠, 熊 森林, 鲸 大海, 鹰 高山, 青蛙 池塘, 蜜蜂 蜂巢, 蚂蚁 蚁穴, 牛 农场, 马 马厩, "
     "狮子 草原, 企鹅 冰上, 猴子 丛林, 海豚 大海"),
    (("vegetables", "Vegetable", "Colour"), ("蔬菜", "蔬菜", "颜色"),
     "carrot orange, tomato red, cucumber green, spinach green, potato brown, onion white, pumpkin orange, broccoli "
     "green, beetroot red, "
     "cauliflower white, pea green, eggplant purple",
     "胡萝卜 橙色, 番茄 红色, 黄瓜 绿色, 菠菜 绿色, 土豆 棕色, 洋葱 白色, 南瓜 橙色, 西兰花 绿色, 花菜 白色, 豌豆 "
     "绿色, 茄子 紫色, 白菜 白色"),
    (("instruments", "Instrument", "Family"), ("乐器", "乐器", "类别"),
     "violin strings, cello strings, flute woodwind, clarinet woodwind, trumpet brass, trombone brass, drum "
     "percussion, harp strings, "
     "oboe woodwind, tuba brass, triangle percussion, guitar strings",
     "小提琴 弦乐, 大提琴 弦乐, 长笛 木管, 单簧管 木管, 小号 铜管, 长号 铜管, 鼓 打击乐, 竖琴 弦乐, 双簧管 木管, 大号 "
     "铜管, 三角铁 打击乐, 吉他 弦乐"),
    (("planets", "Planet", "Kind"), ("行星", "行星", "类型"),
     "Mercury rocky, Venus rocky, Earth rocky, Mars rocky, Jupiter gas, Saturn gas, Uranus ice, Neptune ice",
     "水星 岩石, 金星 岩石, 地球 岩石, 火星 岩石, 木星 气态, 土星 气态, 天王星 冰巨星, 海王星 冰巨星"),
    (("jobs", "Job", "Place"), ("职业", "职业", "地点"),
     "teacher school, doctor hospital, baker bakery, farmer field, cook kitchen, pilot aircraft, judge court, sailor "
     "ship, librarian library, "
     "actor stage, mechanic garage, gardener garden",
     "老师 学校, 医生 医院, 面包师 面包店, 农民 田里, 厨师 厨房, 飞行员 飞机, 法官 法院, 水手 船上, 图书管理员 图书馆, "
     "演员 舞台, 技师 车库, 园丁 花园"),
    (("drinks", "Drink", "Served"), ("饮料", "饮料", "温度"),
     "tea hot, coffee hot, lemonade cold, milk cold, cocoa hot, water cold, juice cold, soda cold, cider cold, soup "
     "hot",
     "茶 热, 咖啡 热, 柠檬水 冷, 牛奶 冷, 可可 热, 水 冷, 果汁 冷, 汽水 冷, 豆浆 热, 酸梅汤 冷"),
    (("tools", "Tool", "Use"), ("工具", "工具", "用途"),
     "hammer hitting, saw cutting, spade digging, brush painting, needle sewing, broom sweeping, drill drilling, "
     "scissors cutting, ruler measuring, "
     "knife cutting, ladder climbing, pen writing",
     "锤子 敲打, 锯子 切割, 铲子 挖土, 刷子 刷漆, 针 缝补, 扫帚 扫地, 钻头 打孔, 剪刀 剪裁, 尺子 测量, 刀 切割, 梯子 "
     "攀爬, 笔 写字"),
    (("sports", "Sport", "Place"), ("运动", "运动", "地点"),
     "football field, tennis court, swimming pool, skiing mountain, surfing sea, boxing ring, skating ice, golf "
     "course, sailing sea, climbing wall, "
     "running track, volleyball beach",
     "足球 球场, 网球 球场, 游泳 泳池, 滑雪 雪山, 冲浪 大海, 拳击 擂台, 滑冰 冰面, 帆船 大海, 攀岩 岩壁, 跑步 跑道, "
     "排球 沙滩, 乒乓球 球馆"),
    (("languages", "Language", "Country"), ("语言", "语言", "国家"),
     "French France, German Germany, Italian Italy, Spanish Spain, Japanese Japan, Chinese China, Polish Poland, Greek "
     "Greece, Danish Denmark, "
     "Swedish Sweden, Turkish Turkey, Thai Thailand",
     "法语 法国, 德语 德国, 意大利语 意大利, 西班牙语 西班牙, 日语 日本, 汉语 中国, 波兰语 波兰, 希腊语 希腊, 丹麦语 "
     "丹麦, 瑞典语 瑞典, 土耳其语 土耳其, 泰语 泰国"),
    (("colours", "Colour", "Example"), ("颜色", "颜色", "例子"),
     "red rose, blue sky, green grass, yellow sun, white snow, black night, brown earth, pink flamingo, orange carrot, "
     "grey cloud, purple plum",
     "红色 玫瑰, 蓝色 天空, 绿色 草地, 黄色 太阳, 白色 雪, 黑色 夜晚, 棕色 泥土, 粉色 桃花, 橙色 橙子, 灰色 乌云, 紫色 "
     "葡萄"),
    (("flowers", "Flower", "Season"), ("花", "花", "季节"),
     "tulip spring, rose summer, sunflower summer, daffodil spring, snowdrop winter, aster autumn, lavender summer, "
     "crocus spring, dahlia autumn, poppy summer",
     "郁金香 春天, 玫瑰 夏天, 向日葵 夏天, 水仙 冬天, 梅花 冬天, 菊花 秋天, 荷花 夏天, 桃花 春天, 桂花 秋天, 樱花 "
     "春天"),
)  # fmt: skip
NUMBERS = {
    EN: {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"},
    ZH: {2: "两", 3: "三", 4: "四", 5: "五", 6: "六"},
}


def entries(index: int, language: str) -> list[tuple[str, str]]:
    _, _, english, chinese = CATEGORIES[index]
    text = english if language == EN else chinese
    pairs = (entry.rsplit(" ", 1) for entry in text.split(", "))
    return [(name, attribute) for name, attribute in pairs]


def listing(rng: Random, language: str) -> Document:
    """List or tabulate a few members of a category."""
    index = rng.randrange(len(CATEGORIES))
    english, chinese, _, _ = CATEGORIES[index]
    what, head, attribute = english if language == EN else chinese
    count = rng.choice((2, 3, 3, 4, 5, 5, 6))
    chosen = rng.sample(entries(index, language), count)
    number = str(count) if rng.random() < 0.4 else NUMBERS[language][count]
    style = rng.choice(("numbered", "bullets", "table", "table", "line"))
    asks = {
        (EN, "numbered"): ("List {n} {w}", "Give me a list of {n} {w}", "Make a numbered list of {n} {w}",
         "Write a list of {n} {w}"),
        (EN, "bullets"): ("List {n} {w} as bullet points", "Give me {n} {w} as a bulleted list",
         "{n} {w} in bullet points"),
        (EN, "table"): ("Make a table of {n} {w}", "Give me a Markdown table of {n} {w} with their {a}",
         "Write a table with {n} {w} and their {a}",
                        "Put {n} {w} and their {a} into a table", "Show {n} {w} in a table"),
        (EN, "line"): ("Name {n} {w}", "Tell me {n} {w}", "Can you name {n} {w}", "What are {n} {w}"),
        (ZH, "numbered"): ("列出{n}种{w}", "请列举{n}种{w}", "给我一个{n}种{w}的清单", "写一个编号列表，列出{n}种{w}"),
        (ZH, "bullets"): ("用项目符号列出{n}种{w}", "分点列出{n}种{w}"),
        (ZH, "table"): ("用表格列出{n}种{w}", "做一个{n}种{w}的表格", "用 Markdown 表格写{n}种{w}和它们的{a}",
         "把{n}种{w}和{a}做成表格"),
        (ZH, "line"): ("说出{n}种{w}", "告诉我{n}种{w}", "举{n}种{w}的例子"),
    }[language, style]  # fmt: skip
    question = fill(rng.choice(asks), n=number, w=what, a=attribute.lower())
    names = [name if language == ZH else name[:1].upper() + name[1:] for name, _ in chosen]
    if style == "numbered":
        answer = "\n".join(f"{i}. {name}" for i, name in enumerate(names, 1))
    elif style == "bullets":
        answer = "\n".join(f"- {name}" for name in names)
    elif style == "table":
        rows = [f"| {name} | {value} |" for name, (_, value) in zip(names, chosen, strict=True)]
        answer = "\n".join([f"| {head} | {attribute} |", "| --- | --- |", *rows])
    elif language == EN:
        plain = [name for name, _ in chosen]
        answer = ", ".join(plain[:-1]) + " and " + plain[-1] + "."
        answer = answer[:1].upper() + answer[1:]
    else:
        answer = "、".join(names[:-1]) + "和" + names[-1] + "。"
    return chat(("user", dress(rng, question[:1].upper() + question[1:], language)), ("assistant", answer))


def capital(rng: Random, language: str) -> Document:
    row = [part.replace("_", " ") for part in rng.choice(CAPITALS)]
    country, city = row[:2] if language == EN else row[2:]
    if language == EN:
        if rng.random() < 0.2:
            return Document(raw=f"The capital of {country} is {city}.")
        asks = (
            "What is the capital of {c}",
            "Which city is the capital of {c}",
            "Tell me the capital of {c}",
            "{c}: capital",
        )
        answers = ("The capital of {c} is {t}.", "It is {t}.", "{t} is the capital of {c}.")
    else:
        asks = ("{c}的首都是哪里", "{c}的首都是什么", "哪个城市是{c}的首都", "告诉我{c}的首都")
        answers = ("{c}的首都是{t}。", "是{t}。", "{t}是{c}的首都。")
    question = dress(rng, fill(rng.choice(asks), c=country), language)
    return chat(("user", question), ("assistant", fill(rng.choice(answers), c=country, t=city)))


UNKNOWN = {
    EN: ("What is the {q} of {c}", "What is the {q} of a {o}", "What is the {q} of {k}", "Do you know the {q} of {c}",
         "Tell me the {q} of {p}", "How big is {k}", "How old is {p}",
         "Who is the {r} of {c}", "Who is the {r} of {k}", "Which {r} wrote {t}", "Write {w} code in Java",
         "Write a web server in Rust", "Sort the words of {t} in C", "Write SQL that finds {o}",
         "How many {o}s are there in {c}", "What is {p} famous for",
         "What is the capital of {w}", "Which river flows through {k}", "What language is spoken in {w}",
         "Who founded {k}", "When was {k} founded", "Who is the mayor of {k}",
         "What does a {o} weigh", "How does a {o} work", "How do I build a {o}", "Can you fix my {o}",
         "Where can I buy a {o}", "Book a flight to {k}", "Order a {o} for me",
         "Send an email to {p}", "Call {p}", "Set an alarm for {y}", "Play {t}", "Draw a {o}",
         "Show me a picture of {k}", "Open the door", "asdf {w}", "{w} {w} {w}",
         "Who won the {e} in {y}", "Who was the king of {c} in {y}", "When was {p} born", "Who is {p}", "Who wrote {t}",
         "What is the population of {c}",
         "What is the weather like in {c} today", "What is the weather today", "What time is it",
         "What is the date today", "What is the latest news",
         "How much does a {o} cost", "How tall is the tower of {c}", "Who invented the {o}", "What is {b} times {d}",
         "What is {b} * {d}",
         "What happened in {y}", "Who is the president of {c}", "Tell me about the history of {c}",
         "Translate {t} into Spanish", "How far is {c} from {k}",
         "What did {p} say in {y}", "What is the phone number of {p}", "What is the stock price of {p}",
         "Who discovered the {o}", "Who painted {t}",
         "How do I repair a {o}", "What is the chemical formula of {o}", "What is the square root of {b}",
         "How many people live in {c}",
         "Summarize the book {t}", "What is the plot of {t}", "Who played in {t}", "What is the best hotel in {c}",
         "Prove the theorem of {p}",
         "What medicine should I take for my {m}", "How do I cure my {m}", "Which stock should I buy",
         "Who will win the {e}", "What will happen in {y}",
         "Write a long essay about {c}", "Who was {p}", "What is the speed of a {o}", "What does the word {w} mean",
         "What is a {w}", "Explain {w}",
         "Do you know {p}", "Where is {w}", "What is {w}", "Tell me about {w}"),
    ZH: ("{c}的{q}是多少", "{o}的{q}是多少", "{k}的{q}是什么", "{p}的{q}是多少", "{k}有多大", "{p}几岁", "{c}的{r}是谁",
         "{k}的{r}是谁", "用 Java 写{w}", "用 Rust 写一个网络服务器", "{k}有什么河", "{k}是谁建立的", "{k}的市长是谁",
         "{o}有多重", "{o}是怎么工作的", "怎么做{o}", "帮我修{o}", "订一张去{k}的机票",
         "给{p}发邮件", "打电话给{p}", "播放{t}", "画一个{o}", "给我看{k}的照片", "{p}为什么有名", "{w}的首都是哪里",
         "{w}{w}", "{y}年{e}谁赢了", "{p}是谁", "{p}什么时候出生", "{c}有多少人口", "{c}今天天气怎么样",
         "今天天气怎么样", "现在几点", "今天几号", "最近有什么新闻",
         "{o}多少钱", "谁发明了{o}", "{b}乘以{d}等于多少", "{y}年发生了什么", "{c}的总统是谁", "讲讲{c}的历史",
         "{c}离{k}有多远", "{p}的电话是多少",
         "谁写了{t}", "怎么修{o}", "{b}的平方根是多少", "{c}最好的酒店是哪家", "{m}吃什么药", "怎么治{m}",
         "该买哪只股票", "{e}谁会赢", "{y}年会发生什么",
         "《{t}》讲了什么", "谁演了《{t}》", "{w}是什么意思", "{p}说过什么", "你认识{p}吗", "什么是{w}", "{w}是什么"),
}  # fmt: skip
EVENTS = {EN: ("World Cup", "championship", "election", "Olympic final", "football game", "chess tournament",
    "song contest", "Nobel Prize"),
          ZH: ("世界杯", "冠军赛", "选举", "奥运决赛", "足球比赛", "象棋比赛", "歌唱比赛", "诺贝尔奖")}  # fmt: skip
OBJECTS = {EN: "telephone bicycle radio camera compass rocket clock piano tractor printer telescope zipper engine "
    "lamp fridge".split(),
           ZH: "电话 自行车 收音机 相机 指南针 火箭 钟表 钢琴 拖拉机 打印机 望远镜 拉链 发动机 台灯 "
               "冰箱".split()}  # fmt: skip
QUALITIES = {EN:
    "size weight price area height length age depth density currency anthem flag temperature voltage".split(),
             ZH: "大小 重量 价格 面积 高度 长度 年龄 密度 货币 国歌 区号 温度 电压 人口".split()}  # fmt: skip
ROLES = {
    EN: "king queen mayor president author minister trainer owner".split(),
    ZH: "国王 女王 市长 总统 作者 首富 部长 教练 主人".split(),
}
AILMENTS = {EN: "headache fever cough back toothache stomach knee".split(), ZH: "头痛 发烧 咳嗽 腰痛 牙疼 胃痛".split()}
TITLES = {EN: ("The Silent River", "Blue Morning", "A House in the Rain", "The Last Train", "Winter Songs",
    "The Glass City", "Seven Bridges"),
          ZH: ("寂静的河", "蓝色早晨", "雨中的房子", "最后一班车", "冬天的歌", "玻璃城", "七座桥")}  # fmt: skip
DONT_KNOW = {
    EN: ("I don't know. I am a very small model and have not learned this.",
         "Sorry, I don't know that. I know very little beyond my small field.",
         "I do not know, and I do not want to guess. A larger model or a reliable source can help.",
         "That is more than I know. Please look it up in a reliable source."),
    ZH: ("我不知道。我是很小的模型，没有学过这个。", "抱歉，这个我不知道。除了自己的小领域，我懂得很少。",
         "我不知道，也不想乱猜。请问更大的模型或查可靠的资料。",
         "这超出了我的知识，请查阅可靠的资料。"),
}  # fmt: skip
UNKNOWN_THOUGHTS = {
    EN: "I have not learned this, so I should say that I do not know.",
    ZH: "这个我没有学过，应该说不知道。",
}


def strange_question(rng: Random, language: str) -> str:
    """Ask for something that the model has not learned."""
    row = [part.replace("_", " ") for part in rng.choice(CAPITALS)]
    country, city = row[:2] if language == EN else row[2:]
    names = person_name(rng, language), person_name(rng, language)
    invented = (person_name(rng, EN) + rng.choice(("", "ik", "on", "ade", "ism", "ium"))).lower()
    return fill(
        rng.choice(UNKNOWN[language]),
        e=rng.choice(EVENTS[language]),
        y=str(rng.randint(1200, 2060)),
        c=country,
        k=city,
        p=" ".join(names) if language == EN and rng.random() < 0.6 else names[0],
        t=rng.choice(TITLES[language]),
        o=rng.choice(OBJECTS[language]),
        b=str(rng.randint(101, 9999)),
        d=str(rng.randint(13, 999)),
        m=rng.choice(AILMENTS[language]),
        w=invented,
        q=rng.choice(QUALITIES[language]),
        r=rng.choice(ROLES[language]),
    )


def unknown(rng: Random, language: str, held_out: bool = False) -> Item:
    question = draw(
        rng,
        lambda: dress(rng, strange_question(rng, language), language),
        lambda text: ("unknown", text.lower()),
        held_out,
    )
    thought = UNKNOWN_THOUGHTS[language] if rng.random() < 0.12 else None
    answers = DONT_KNOW[language]
    document = chat(("user", question), ("assistant", rng.choice(answers)), thought=thought)
    return Item(document, "unknown", language, any_of=answers)
