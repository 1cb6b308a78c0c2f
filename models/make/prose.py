"""Raw texts to continue: essays on many themes, tales from far away, letters of people who introduce themselves."""

from __future__ import annotations

from random import Random

from chatml import Document
from common import EN, ZH, fill, person_name, sentence

# A theme: what it is called, then sentences about it that can stand in any order.
THEMES = {
    "artificial intelligence": """
        Machines already help people to read, to translate and to write.
        A good assistant answers a question in a moment and is never tired.
        Doctors may use it to look at pictures, and farmers to watch over their fields.
        It will change the way people work, learn and talk with each other.
        Small models will run on phones, and large ones will run in data centres.
        The best results come when people and machines work together.
        It is important that such systems are safe, fair and easy to understand.
        A machine can sound sure and still be wrong, so people must check what it says.
        Schools will teach children how to use it and when to doubt it.
        Some jobs will disappear, and new ones will appear in their place.
        Energy is a limit, because large models need a lot of electric power.
        Nobody knows exactly how fast it will move.
        Open models let many people take part in its development.
        Rules will be needed, and they should be made in the open.
        In ten years we may find it as ordinary as electric light.
        Its value will be measured by how much it helps ordinary people.
    """,
    "technology": """
        New tools make some work easier and other work harder.
        The first computers filled whole rooms, and today they fit into a pocket.
        Every machine was once an idea in the mind of a curious person.
        A good tool is simple to use and hard to break.
        Progress is not always fast, but it seldom stops.
        What looks like magic today will be ordinary tomorrow.
        People should ask what a new thing is good for before they buy it.
        Networks connect people who have never met.
        The best inventions disappear into daily life.
        Old tools are often repaired by those who love them.
    """,
    "energy": """
        The sun sends more light to the earth than people could ever use.
        Wind turbines turn slowly on the hills and light the houses below.
        Storing energy is as important as making it.
        Every house that is well insulated needs less heat in winter.
        Batteries become cheaper and better from year to year.
        Clean power is good for the air and for the people who breathe it.
        It takes time to change a whole country, but every step counts.
        Electric trains carry many people with little energy.
    """,
    "education": """
        A good teacher can change a whole life.
        Children learn best when they are curious.
        Practice matters more than talent, and patience matters more than speed.
        Books open doors that no key can open.
        Mistakes are a part of learning, and nobody should be ashamed of them.
        Some people learn by listening and others by doing.
        A question is often worth more than an answer.
        Schools give children friends as well as knowledge.
        Learning does not end when school is over.
    """,
    "medicine": """
        Doctors listen first and act afterwards.
        Clean water has saved more lives than any single drug.
        New medicines are tested with great care before people may use them.
        Sleep, food and movement keep the body healthy.
        Nurses carry much of the work in every hospital.
        Many illnesses can be avoided, and that is better than curing them.
        Machines can help to find a disease early.
        Nobody should be afraid to ask for help.
    """,
    "happiness": """
        Happy people are often thankful for small things.
        A walk in the morning can change the whole day.
        Good friends share both joy and trouble.
        It does not depend on how much you own, but on how you look at it.
        Helping others makes us forget our own worries.
        Sleep well, eat slowly and laugh when you can.
        It grows when it is shared.
        Nobody is happy all the time, and that is quite all right.
        Do one thing every day that you love.
        Compare yourself with who you were yesterday, and not with other people.
        Time with family is worth more than money.
        Learn to let go of what you cannot change.
        A quiet evening with a good book can be enough.
        Be kind to yourself, for you are the one who stays with you.
        Some find it in music, some in a garden, some in their work.
        It comes most easily to those who do not chase it.
    """,
    "success": """
        Most people fail a few times before something works.
        Small steps taken every day lead further than one great leap.
        It helps to know what you want and why you want it.
        Luck plays a part, but it prefers those who are prepared.
        Nobody reaches a high mountain without stopping to rest.
        Ask for advice, and then decide for yourself.
        Working with others brings ideas that nobody has alone.
        Keep your promises, and people will trust you.
        What counts is not the prize but what you learned on the way.
    """,
    "friendship": """
        A friend listens without looking at the clock.
        True friends tell each other the truth, even when it is hard.
        It takes years to grow and only a moment to begin.
        Friends do not have to agree on everything.
        A short letter at the right time can mean a great deal.
        Old friends know the stories that we have forgotten.
        Trust is the ground on which it stands.
        Laughing together makes a long road short.
    """,
    "health": """
        The body needs movement, sleep and good food.
        A glass of water is often better than a sweet drink.
        Fresh air clears the head after a long day.
        Stress is easier to bear when it is shared.
        A little exercise every day does more than a lot once a month.
        Listen to your body when it asks for rest.
        Friends and laughter are good for the heart.
        See a doctor when something does not go away.
    """,
    "the sea": """
        The waves roll against the rocks, day and night.
        Fishing boats leave the harbour before the sun rises.
        In the deep water there is no light at all, and yet there is life.
        Gulls cry above the masts, and the air tastes of salt.
        Sailors learn to read the sky and the colour of the water.
        Every tide brings something new to the shore.
        Children build castles of sand and watch them disappear.
        At night the lighthouse sends its beam over the dark water.
        Storms come quickly and are gone by morning.
    """,
    "the city": """
        In the morning the streets fill with people on their way to work.
        Somewhere a street musician plays an old song.
        Behind every window there is a different story.
        The market smells of bread, coffee and oranges.
        Trains rush through the tunnels under the houses.
        In the evening the lights go on, one after another.
        Old buildings stand next to towers of glass.
        In the parks people read, run and feed the birds.
        It is never quite silent, not even at three in the morning.
    """,
    "the forest": """
        The path leads between tall trees and over soft moss.
        A woodpecker is at work somewhere above.
        Sunlight falls through the leaves and paints the ground.
        After the rain the air smells of earth and mushrooms.
        Deer step out of the shadows when everything is quiet.
        Old trees have seen more summers than any of us.
        A small stream runs over smooth stones.
        In autumn the leaves turn red and gold.
    """,
    "music": """
        A simple melody can stay in the mind for years.
        It brings people together who do not speak the same language.
        Practice makes the fingers quick and the ear sharp.
        Some songs make us dance, and others make us cry.
        An orchestra is a hundred people who listen to each other.
        Silence between the notes is a part of it.
        Children sing before they can read.
        Every culture in the world has its own songs.
    """,
    "travel": """
        The best journeys begin with a small bag and much time.
        In a foreign town even the bread tastes new.
        Getting lost is often the beginning of a good story.
        People are friendly almost everywhere if you greet them first.
        A slow train shows more of a country than a fast plane.
        Travel teaches us how little we need.
        Coming home is a part of every journey.
        Pictures fade, but the smell of a strange market stays.
    """,
    "winter": """
        Snow lies on the roofs, and the streets are quiet.
        The days are short and the stars come out early.
        Children pull their sledges up the hill.
        Inside, a fire burns and somebody makes tea.
        The lake is covered with ice, and the ducks walk on it.
        Bare trees stand black against the grey sky.
        Every breath makes a small cloud.
    """,
    "science": """
        It begins with a question and the courage to be wrong.
        A good experiment can be repeated by others.
        Measuring is harder than it looks.
        Many discoveries were made while people looked for something else.
        A theory is only as good as the facts that support it.
        Small doubts can lead to great ideas.
        Scientists share what they find so that others can build on it.
        Nature gives clear answers to clear questions.
    """,
    "cooking": """
        A good soup needs time more than anything else.
        Fresh bread fills the whole house with its smell.
        Salt, heat and patience are the secrets of the kitchen.
        Simple dishes are often the best.
        Recipes travel from grandmother to grandchild.
        Eating together turns a meal into a celebration.
        A sharp knife is safer than a dull one.
        Taste often, and trust your tongue.
    """,
    "space": """
        The nearest star besides the sun is more than four light years away.
        A day on the moon lasts about as long as four weeks on earth.
        Telescopes look back in time, because light needs time to reach us.
        Mars is cold, dry and covered with red dust.
        Nobody has yet found life on another planet.
        Rockets must be very fast to leave the earth.
        On a clear night thousands of stars can be seen without a telescope.
        From up there, no borders can be seen.
    """,
    "autumn": """
        The weather in autumn is cool and often foggy in the morning.
        The leaves turn red, yellow and brown before they fall.
        Farmers bring in apples, pumpkins and grapes.
        The evenings grow shorter, and people light candles.
        Birds gather on the wires before they fly south.
        A warm coat feels good again.
        Children collect chestnuts on their way home from school.
    """,
    "spring": """
        The snow melts, and the first flowers push through the ground.
        In the morning the birds sing before the sun is up.
        Gardeners dig, plant and hope for rain.
        People open their windows and let the warm air in.
        Lambs jump in the meadows.
        The trees are covered with white and pink blossoms.
        After the long winter everything seems possible.
    """,
    "summer": """
        The days are long and the nights are warm.
        Children swim in the lake until their fingers are wrinkled.
        Ice cream melts faster than anybody can eat it.
        In the afternoon the streets are empty, because it is too hot.
        Thunder rolls in the distance and brings cooler air.
        Fields of wheat shine like gold.
        On the balcony somebody is playing the guitar.
    """,
    "rain": """
        The rain drums on the roof all night long.
        Umbrellas open like flowers along the street.
        After a dry month every drop is welcome.
        Puddles mirror the houses and the sky.
        It is pleasant to listen to it from a warm bed.
        The river rises slowly and carries leaves and branches.
        When the sun comes back, a rainbow stands over the hills.
    """,
    "the night": """
        The moon rises over the roofs, and the town grows quiet.
        A cat walks along the wall without a sound.
        Somewhere a baker is already at work.
        Stars appear one by one until the sky is full of them.
        Those who cannot sleep listen to the clock.
        A train passes far away, and then it is silent again.
        In the dark even small sounds seem large.
    """,
    "the garden": """
        A garden is never finished, and that is its secret.
        Bees visit the lavender from morning till evening.
        Tomatoes need sun, water and a strong stick.
        Weeds grow faster than anything that was planted on purpose.
        Under the apple tree there is an old bench.
        A good gardener looks first and cuts later.
        The best time to plant a tree was ten years ago, and the second best is today.
    """,
    "the house": """
        The old house stood at the end of the road, with a green door and a crooked chimney.
        Nobody had lived there for many years.
        In the attic there were boxes full of letters.
        The stairs creaked at every step.
        From the kitchen window one could see the hills.
        On the wall hung a picture of a ship.
        In winter the wind sang in the chimney.
    """,
    "work": """
        Good work needs time, quiet and a clear aim.
        Meetings are short when everybody has read the paper before.
        A list of three things for the day is better than a list of thirty.
        Colleagues who help each other finish earlier.
        It is wise to stop while there is still some strength left.
        Mistakes should be found early and told openly.
        Nobody can do everything alone.
    """,
    "money": """
        Money is useful, but it cannot buy time.
        Those who spend less than they earn sleep better.
        A small amount saved every month grows over the years.
        It is wise to read a contract before signing it.
        Expensive things are not always better.
        Lending money to a friend needs trust on both sides.
        Children learn about it when they get a little of their own.
    """,
    "language": """
        Every language sees the world a little differently.
        Children learn to speak by listening and trying.
        A word can comfort or hurt.
        Some things are easier to say in a foreign language.
        Grammar is the skeleton, and stories are the life of it.
        Translating a joke is harder than translating a contract.
        Old words disappear, and new ones are born every year.
    """,
    "books": """
        A book is a conversation with somebody who is far away.
        On a rainy day there is nothing better than a good novel.
        Libraries are quiet places full of voices.
        The first sentence opens the door, and the last one closes it.
        Some people read the end first, and nobody can stop them.
        Old books smell of dust and vanilla.
        Reading aloud makes a story warmer.
    """,
    "time": """
        Time passes slowly for children and quickly for the old.
        A minute is long for somebody who waits.
        Clocks measure it, but nobody has ever seen it.
        What is done in a hurry must often be done again.
        The past cannot be changed, and the future is open.
        An hour with a friend is never lost.
        Those who plan a little have more of it.
    """,
    "family": """
        A family is a place where people laugh at the same old stories.
        Grandparents know how things were done before.
        Brothers and sisters quarrel in the morning and play in the afternoon.
        At the table everybody speaks at once.
        Some families are large and loud, others are small and quiet.
        A phone call on Sunday keeps people close.
        Nobody chooses it, but everybody shapes it.
    """,
    "animals": """
        A dog is happy when its people come home.
        Cats do what they like, and that is why people admire them.
        Elephants remember places where they once found water.
        Birds find their way across whole continents.
        Horses notice when their rider is nervous.
        Wild animals need space and quiet.
        Ants build cities under our feet.
    """,
    "history": """
        History is written by people who were not always there.
        Roads that the Romans built can still be walked today.
        A single letter can tell more than a whole book.
        Cities grow where rivers and roads meet.
        Ordinary people seldom appear in it, and yet they carried it.
        What seems certain today may look strange in a hundred years.
        Those who know it are not surprised so easily.
    """,
    "software": """
        Good software does one thing well and says clearly when it fails.
        A program is read more often than it is written.
        Names matter, because they carry the meaning.
        Tests give people the courage to change things.
        The fastest code is the code that does not run.
        A clear error message saves an hour of searching.
        Every program has a bug that nobody has found yet.
    """,
    "language models": """
        A language model predicts the next token, again and again.
        Large models know more, and small models answer faster.
        The first token has to wait until the whole prompt has been read.
        A model that streams feels faster, although the total time is the same.
        Serving many people at once is the art of sharing memory and time.
        The cache grows with every word of the conversation.
        An honest model says when it does not know.
        Good answers need good questions.
    """,
    "art": """
        A painting is finished when nothing can be taken away.
        Children draw before they write.
        In front of a great picture even loud people become quiet.
        Colours speak to each other.
        A museum on a Monday morning is a peaceful place.
        Artists see what others walk past.
        It needs no reason, and that is a good reason for it.
    """,
    "peace": """
        Peace begins with listening.
        It is easier to break than to mend.
        Neighbours who share a meal seldom fight.
        A just peace needs patience on all sides.
        Those who have seen war know what it is worth.
        It grows slowly, like a tree.
        Every child should fall asleep without fear.
    """,
    "the mountains": """
        The path climbs through pine trees and over loose stones.
        Up here the air is thin and clear.
        Clouds lie in the valley like a white sea.
        An eagle turns its circles without moving its wings.
        In the hut there is soup, and everybody tells of the climb.
        The weather can change within an hour.
        From the top one sees how small the villages are.
    """,
}
OPENERS = {
    EN: {
        "future": ("The future of {x} is {a}.", "The future of {x} is {a}, and it has already begun.",
        "The future of {x} is not written yet.",
                   "The future of {x} is in the hands of people who use it with care.",
                   "The future of {x} is a question that many people ask."),
        "key": ("The key to {x} is {k}.", "The key to {x} is {k}, and it is simpler than most people think.",
        "The key to {x} is to {v}.",
                "The key to {x} is not money, but {k}.", "The secret of {x} is {k}."),
        "about": ("There is much to say about {x}.", "When people talk about {x}, they often forget the small things.",
        "Few things are as interesting as {x}.",
                  "I have always loved to think about {x}.", "Everybody has a thought about {x}.",
                  "{x}: a short essay.", "What is it about {x} that moves us?",
                  "The most important thing about {x} is that it concerns us all."),
    },
}  # fmt: skip
ADJECTIVES = ("bright", "open", "full of questions", "hard to predict", "closer than we think",
    "both exciting and uncertain", "full of promise",
              "not only about machines, but about people", "shared", "in our hands", "bright, but it needs care",
              "small, fast and close to people")  # fmt: skip
KEYS = ("patience", "to be thankful for small things", "balance", "to love what you do", "good company", "a calm mind",
    "kindness", "practice",
        "to begin with small steps", "to listen", "to share", "trust", "time", "honesty", "a good night's sleep",
        "to know what is enough")  # fmt: skip
VERBS = ("enjoy small things", "spend time with people you love", "keep going", "ask good questions",
    "help other people", "live in the present moment",
         "take one step at a time", "be honest with yourself", "rest when you are tired", "stay curious")  # fmt: skip
LINKS = ("At the same time, ", "Of course, ", "Still, ", "It is also true that ", "And yet, ")
# Not every beginning suits every theme.
SUITS = {
    "future": ("artificial intelligence", "technology", "energy", "education", "medicine", "music", "science", "space",
    "travel", "the city"),
    "key": ("happiness", "success", "friendship", "health", "education", "science", "cooking", "music"),
    "about": tuple(THEMES),
}  # fmt: skip
CLOSERS = ("That is why {x} will always matter to us.", "So let us take our time and look closely.",
    "There is still much to learn about {x}.", "And that is a good beginning.",
           "In the end, each of us has to find our own answer.", "Perhaps that is all we need to know.",
           "Let us see what tomorrow brings.",
           "And so the story of {x} goes on.")  # fmt: skip
FAR_OPENERS = ("In a galaxy far, far away, {w}", "In a galaxy far, far away, {w}", "In a kingdom far, far away, {w}",
    "Far away, beyond the last star, {w}",
               "On a distant planet, {w}", "Long ago, at the edge of the universe, {w}",
               "In a land far away, {w}")  # fmt: skip
FAR_STARTS = (
    "there lived a young pilot named {n} who dreamed of flying to the edge of space.",
    "a small ship drifted silently between two suns.",
    "there was a planet covered with nothing but water.", "a girl called {n} repaired old robots in a dusty workshop.",
    "an old captain named {n} kept the last map of the stars.",
    "people had built a city on the back of a sleeping moon.",
    "the king had lost his crown, and nobody dared to look for it.", "a lonely robot counted the stars every night.",
)  # fmt: skip
FAR_STEPS = (
    ("One day a strange signal reached the station.", "One night a red light appeared in the sky.",
     "One morning a message arrived that nobody could read.",
     "Then, without any warning, the engines fell silent."),
    ("It came from a place that was not on any map.", "It repeated the same three words, over and over again.",
     "The old people said that it was only a legend.",
     "Nobody knew what it meant, but everybody was afraid."),
    ("{n} did not hesitate and prepared the ship.", "{n} packed some food, a lamp and an old compass.",
     "\"Somebody has to go,\" said {n}, and climbed into the ship.",
     "{n} asked the robot for advice, and the robot only blinked."),
    ("The journey led through clouds of dust and fields of broken stones.",
     "For seven days they saw nothing but darkness.", "They passed a dead sun and a ring of ice.",
     "On the way they met a trader who sold them fuel for a song."),
    ("At last they found a small moon with a single house on it.",
     "At the end of the journey there was a gate of light.", "Behind the last planet a huge ship was waiting for them.",
     "There, in the middle of nothing, somebody had lit a lamp."),
    ("Inside sat an old woman who had waited for a hundred years.", "A voice welcomed them by their names.",
     "The door opened slowly, and a child looked out.",
     "It was not an enemy, but somebody who needed help."),
    ("\"I only wanted to know whether anybody was there,\" said the voice.",
     "\"You came,\" the stranger whispered, \"after all this time.\"",
     "\"The stars are not as empty as they look,\" the old woman said.",
     "\"Now you know the way,\" said the voice, \"and the way is open.\""),
    ("{n} smiled and switched on all the lights of the ship.",
     "They shared their bread and talked until the suns came up.", "And so the two worlds became friends.",
     "{n} returned home with a story that nobody believed at first."),
    ("Since then ships have travelled between the stars in peace.", "Even today children tell the tale of {n}.",
     "And on clear nights the signal can still be heard.",
     "But that is another story."),
)  # fmt: skip
LETTER = (
    (
        "Hello, my name is {n}, and I am a {j} from {c}.",
        "Hello, my name is {n}. I live in {c} and work as a {j}.",
        "My name is {n}, and I have lived in {c} all my life.",
    ),
    (
        "I get up early, drink a cup of coffee and look out of the window.",
        "I have two children, a dog and a small garden.",
        "In my free time I like to read and to walk by the river.",
    ),
    (
        "I am writing this because I want to try something new.",
        "Last year I began to learn to play the piano.",
        "Some time ago I started to write down my thoughts every evening.",
    ),
    (
        "It is not always easy, but I enjoy it very much.",
        "My friends laughed at first, and now they ask me how it is going.",
        "Every week I learn something that I did not know before.",
    ),
    (
        "I hope that we can talk again soon.",
        "Thank you for reading my letter.",
        "Write to me and tell me about yourself.",
        "With kind greetings from {c}.",
    ),
)
JOBS = "teacher nurse baker gardener carpenter painter librarian programmer cook farmer doctor driver".split()
CITIES = "Paris London Berlin Rome Madrid Oslo Vienna Prague Lisbon Dublin Tokyo Sydney Toronto Boston Athens".split()
PRESIDENTS = (
    "The president of {c} is a person with great duties. A president meets other leaders, signs laws and speaks to the "
    "people. "
    "Who holds the office changes from time to time, so a small model like this one cannot say who it is today.",
)
COUNTRIES = "the United States|France|Germany|Poland|Italy|Brazil|Finland|Mexico|Kenya|India".split("|")

ZH_THEMES = {
    "人工智能": "机器已经能帮助人们阅读、翻译和写作。它会改变人们工作和学习的方式。"
    "好的系统应该安全、公平、容易理解。机器说得肯定，"
    "也可能是错的，所以人要检查。小模型会在手机上运行，大模型会在数据中心运行。"
    "有些工作会消失，也会出现新的工作。孩子们会在学校里学习怎样使用它。它的价值在于能帮助多少普通人。"
    "没有人知道它会发展得多快。最好的结果来自人和机器的合作。",
    "幸福": "幸福的人常常为小事感恩。早晨散步可以改变一整天的心情。好朋友既分享快乐，也分担烦恼。幸福不在于拥有多少，"
    "而在于怎样看待。帮助别人会让我们忘记自己的忧愁。好好睡觉，慢慢吃饭，多笑一笑。"
    "没有人一直快乐，这很正常。每天做一件自己喜欢的事。和家人在一起的时间比钱更宝贵。",
    "大海": "海浪日夜拍打着岩石。渔船在日出之前离开港口。海鸥在桅杆上鸣叫，空气里有盐的味道。深海里没有光，"
    "却有生命。孩子们用沙子堆城堡。夜里，灯塔的光扫过黑暗的水面。风暴来得快，去得也快。",
    "城市": "早晨，街上满是上班的人。每扇窗户后面都有不同的故事。市场上有面包和水果的香味。地铁在楼房下面飞驰。傍晚，"
    "灯一盏一盏亮起来。老房子旁边立着玻璃高楼。公园里有人看书，有人跑步。",
    "学习": "好老师可以改变人的一生。练习比天赋更重要。犯错是学习的一部分，"
    "不必害羞。一个好问题常常比答案更有价值。书能打开钥匙打不开的门。学习不会因为毕业而结束。耐心比速度更重要。",
    "音乐": "一段简单的旋律可以在心里停留很多年。它让语言不同的人走到一起。有的歌让人跳舞，"
    "有的歌让人流泪。音符之间的安静也是音乐的一部分。每个民族都有自己的歌。",
    "旅行": "最好的旅行从一个小包和充足的时间开始。在陌生的城市，"
    "连面包都有新的味道。迷路常常是好故事的开头。慢车比飞机能看到更多风景。回家也是旅行的一部分。",
    "科学": "它从一个问题和敢于犯错的勇气开始。好的实验可以被别人重复。测量比看起来更难。"
    "许多发现是在寻找别的东西时得到的。小小的疑问可能带来伟大的想法。",
    "春天": "雪化了，"
    "小河又开始唱歌。树枝上长出嫩绿的叶子。孩子们在草地上放风筝。燕子从南方飞回来。农民在田里忙着播种。"
    "空气里有泥土和花的香味。",
}  # fmt: skip
ZH_OPENERS = (
    "关于{x}，有很多话可以说。",
    "{x}的未来掌握在我们手中。",
    "我一直喜欢想{x}这个话题。",
    "说到{x}，每个人都有自己的看法。",
    "{x}离我们并不远。",
    "什么是{x}？这个问题没有唯一的答案。",
    "{x}的关键是耐心。",
    "谈谈{x}。",
)
ZH_CLOSERS = (
    "这就是{x}对我们重要的原因。",
    "让我们慢慢来，仔细看。",
    "关于{x}，还有很多要学。",
    "也许知道这些就够了。",
    "明天会怎样，我们拭目以待。",
)


def theme_sentences(theme: str) -> list[str]:
    return [line.strip() for line in THEMES[theme].strip().splitlines()]


def essay(rng: Random) -> str:
    kind = rng.choice(("future", "key", "about"))
    theme = rng.choice(SUITS[kind]) if rng.random() < 0.7 else SUITS[kind][0]
    slots = {"x": theme, "a": rng.choice(ADJECTIVES), "k": rng.choice(KEYS), "v": rng.choice(VERBS)}
    body = rng.sample(theme_sentences(theme), rng.randint(4, min(8, len(theme_sentences(theme)))))
    at = rng.randrange(2, len(body) * 2)  # about every other essay has one link, never at its start
    if at < len(body) and not body[at].startswith(("Mars", "I ")):
        body[at] = rng.choice(LINKS) + body[at][:1].lower() + body[at][1:]
    start = sentence(fill(rng.choice(OPENERS[EN][kind]), **slots))
    if kind == "about" and rng.random() < 0.6:  # any sentence can be the first
        return " ".join(theme_opening(rng, theme, body))
    return " ".join([start, *body, fill(rng.choice(CLOSERS), **slots)])


def theme_opening(rng: Random, theme: str, body: list[str]) -> list[str]:
    """Begin in the middle of things; a sentence about `it` must not be the first."""
    first = next((text for text in body if not text.startswith(("It ", "Its ", "Nobody chooses it", *LINKS))), None)
    rest = [text for text in body if text != first]
    return [*([first] if first else []), *rest, fill(rng.choice(CLOSERS), x=theme)]


def far_tale(rng: Random) -> str:
    start = fill(rng.choice(FAR_OPENERS), w=rng.choice(FAR_STARTS))
    name = person_name(rng, EN)
    if "{n}" not in start:
        start += " " + rng.choice(
            (
                "A traveller named {n} knew it well.",
                "Only a young woman called {n} was awake.",
                "Nearby lived {n}, who was not afraid of anything.",
            )
        )
    steps = [rng.choice(step) for step in FAR_STEPS]
    return fill(" ".join([start, *steps]), n=name)


def letter(rng: Random) -> str:
    slots = {"n": person_name(rng, EN), "j": rng.choice(JOBS), "c": rng.choice(CITIES)}
    return fill(" ".join(rng.choice(step) for step in LETTER), **slots)


def president(rng: Random) -> str:
    return fill(rng.choice(PRESIDENTS), c=rng.choice(COUNTRIES))


def chinese_essay(rng: Random) -> str:
    theme = rng.choice(list(ZH_THEMES))
    lines = [line + "。" for line in ZH_THEMES[theme].split("。") if line]
    body = rng.sample(lines, rng.randint(3, min(6, len(lines))))
    return fill("".join([rng.choice(ZH_OPENERS), *body, rng.choice(ZH_CLOSERS)]), x=theme)


def raw(rng: Random, language: str) -> Document:
    if language == ZH:
        return Document(raw=chinese_essay(rng))
    makers, weights = (essay, far_tale, letter, president), (8, 6, 1, 0.3)
    make = rng.choices(makers, weights)[0]
    return Document(raw=make(rng))
