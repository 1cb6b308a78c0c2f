"""Fenced Python: small functions with a sentence before them."""

from __future__ import annotations

import re
from random import Random

from chatml import Document, chat
from common import EN, ZH, dress, mistype

# What it does in English | in Chinese, then the code; %n is the name of a value, %f of the function.
SNIPPETS = """
adds two numbers | 把两个数相加
def add(a, b):
    return a + b

subtracts two numbers | 把两个数相减
def subtract(a, b):
    return a - b

multiplies two numbers | 把两个数相乘
def multiply(a, b):
    return a * b

prints hello world | 打印 hello world
def hello():
    print("Hello, world!")

greets a person by name | 按名字问好
def greet(name):
    return f"Hello, {name}!"

checks whether a number is even | 判断一个数是不是偶数
def is_even(number):
    return number % 2 == 0

checks whether a number is odd | 判断一个数是不是奇数
def is_odd(number):
    return number % 2 == 1

computes the factorial of a number | 计算阶乘
def factorial(n):
    result = 1
    for i in range(2, n + 1):
        result *= i
    return result

computes the Fibonacci numbers | 计算斐波那契数列
def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a

reverses a string | 反转字符串
def reverse(text):
    return text[::-1]

counts the words of a text | 统计文本的词数
def count_words(text):
    return len(text.split())

counts the vowels of a text | 统计元音字母
def count_vowels(text):
    return sum(letter in "aeiou" for letter in text.lower())

finds the largest number of a list | 找出列表里最大的数
def largest(numbers):
    best = numbers[0]
    for number in numbers:
        if number > best:
            best = number
    return best

finds the smallest number of a list | 找出列表里最小的数
def smallest(numbers):
    best = numbers[0]
    for number in numbers:
        if number < best:
            best = number
    return best

sums up a list | 对列表求和
def total(numbers):
    result = 0
    for number in numbers:
        result += number
    return result

computes the average of a list | 计算列表的平均值
def average(numbers):
    return sum(numbers) / len(numbers)

checks whether a word is a palindrome | 判断是不是回文
def is_palindrome(word):
    word = word.lower()
    return word == word[::-1]

checks whether a number is prime | 判断质数
def is_prime(n):
    if n < 2:
        return False
    for i in range(2, int(n**0.5) + 1):
        if n % i == 0:
            return False
    return True

sorts a list | 给列表排序
def sort_list(items):
    return sorted(items)

removes duplicates from a list | 去掉列表里的重复项
def unique(items):
    return list(dict.fromkeys(items))

reads a text file | 读取文本文件
from pathlib import Path

def read_text(path):
    return Path(path).read_text(encoding="utf-8")

writes a text file | 写入文本文件
from pathlib import Path

def write_text(path, text):
    Path(path).write_text(text, encoding="utf-8")

counts how often each word occurs | 统计每个词出现的次数
from collections import Counter

def word_counts(text):
    return Counter(text.lower().split())

converts Celsius to Fahrenheit | 把摄氏度换成华氏度
def to_fahrenheit(celsius):
    return celsius * 9 / 5 + 32

converts Fahrenheit to Celsius | 把华氏度换成摄氏度
def to_celsius(fahrenheit):
    return (fahrenheit - 32) * 5 / 9

prints the numbers from one to ten | 打印一到十
for number in range(1, 11):
    print(number)

plays FizzBuzz | 写 FizzBuzz
for i in range(1, 101):
    if i % 15 == 0:
        print("FizzBuzz")
    elif i % 3 == 0:
        print("Fizz")
    elif i % 5 == 0:
        print("Buzz")
    else:
        print(i)

squares all numbers of a list | 求列表中每个数的平方
def squares(numbers):
    return [number**2 for number in numbers]

measures how long a function takes | 测量函数用时
import time

def timed(function):
    start = time.perf_counter()
    result = function()
    print(f"{time.perf_counter() - start:.3f} s")
    return result

waits one second asynchronously | 异步等待一秒
import asyncio

async def main():
    await asyncio.sleep(1)
    print("done")

asyncio.run(main())

swaps two values | 交换两个值
def swap(a, b):
    return b, a

finds the common items of two lists | 找出两个列表的共同元素
def common(first, second):
    return [item for item in first if item in second]

defines a simple class | 定义一个简单的类
class Dog:
    def __init__(self, name):
        self.name = name

    def bark(self):
        return f"{self.name} says woof!"

computes a power | 计算乘方
def power(base, exponent):
    return base**exponent

computes the area of a circle | 计算圆的面积
import math

def circle_area(radius):
    return math.pi * radius**2

prints the even numbers | 打印偶数
def even_numbers(limit):
    for number in range(0, limit + 1, 2):
        print(number)

prints the odd numbers | 打印奇数
def odd_numbers(limit):
    for number in range(1, limit + 1, 2):
        print(number)

sorts a list with bubble sort | 冒泡排序
def bubble_sort(items):
    items = list(items)
    for end in range(len(items) - 1, 0, -1):
        for i in range(end):
            if items[i] > items[i + 1]:
                items[i], items[i + 1] = items[i + 1], items[i]
    return items

sorts a list with quicksort | 快速排序
def quicksort(items):
    if len(items) < 2:
        return items
    first, rest = items[0], items[1:]
    small = [item for item in rest if item < first]
    large = [item for item in rest if item >= first]
    return quicksort(small) + [first] + quicksort(large)

searches a sorted list with binary search | 二分查找
def binary_search(items, wanted):
    low, high = 0, len(items) - 1
    while low <= high:
        middle = (low + high) // 2
        if items[middle] == wanted:
            return middle
        if items[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return -1

prints a multiplication table | 打印乘法表
def multiplication_table(n):
    for i in range(1, n + 1):
        print(*(i * j for j in range(1, n + 1)))

counts the letters of a word | 统计字母个数
def count_letters(word):
    return len(word)

finds the greatest common divisor | 求最大公约数
def gcd(a, b):
    while b:
        a, b = b, a % b
    return a

reverses a list | 反转列表
def reverse_list(items):
    return items[::-1]

flattens a nested list | 展开嵌套列表
def flatten(lists):
    return [item for inner in lists for item in inner]

streams text with AsyncLLM | 用 AsyncLLM 流式生成
async def stream(engine, prompt, params):
    async for output in engine.generate(prompt, params, "request-1"):
        print(output.outputs[0].text, end="", flush=True)

makes a small Gradio page | 做一个小的 Gradio 页面
import gradio as gr

def greet(name):
    return f"Hello, {name}!"

gr.Interface(greet, "text", "text").launch()

reads a JSON file | 读取 JSON 文件
import json
from pathlib import Path

def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))

makes a dictionary of squares | 建立平方数字典
def square_table(n):
    return {i: i**2 for i in range(1, n + 1)}

rolls a die | 掷骰子
import random

def roll():
    return random.randint(1, 6)

generates text with vLLM | 用 vLLM 生成文字
from vllm import LLM, SamplingParams

llm = LLM(model="models/streamspace-tiny")
params = SamplingParams(temperature=0.7, max_tokens=100)
for output in llm.generate(["The key to happiness is"], params):
    print(output.outputs[0].text)
"""
ASK = {
    EN: ("Write Python code that {x}", "Write a Python function that {x}", "Show me Python code that {x}",
         "Python code that {x}", "Give me a Python snippet that {x}",
         "How do I write Python code that {x}", "Write a Python script that {x}", "Python: a function that {x}",
         "Please code a function that {x}",
         "Write a small program that {x}", "Code that {x}", "Write code that {x}",
         "Show me how to write a function that {x}", "I need Python code that {x}",
         "Can you write a Python program that {x}"),
    ZH: ("用 Python {x}", "写一段 Python 代码，{x}", "写一个 Python 函数，{x}", "请用 Python {x}",
         "给我一段 Python 代码：{x}", "怎么用 Python {x}"),
}  # fmt: skip
ASK_TO = ("Write a Python function", "Write Python code", "I need a Python function", "Show me code",
    "Write a function", "Give me Python code", "How can I use Python",
          "Write a program", "Python code", "How do I use Python", "Please write a Python function")  # fmt: skip
ASK_NAMED = {
    EN: ("Write a {d} function in Python", "Write {d} in Python", "Show me a Python function for {d}",
         "Python {d} function", "Code {d} in Python",
         "Python code for {d}", "Show me {d}", "I need {d} in Python", "How do I write {d} in Python",
         "Give me the code for {d}", "Can you write a {d} program"),
    ZH: ("用 Python 写 {d} 函数", "写一个 {d} 的 Python 函数", "Python 的 {d} 怎么写"),
}  # fmt: skip
SAY = {
    EN: ("Here is Python code that {x}:", "This code {x}:", "Here you are:", "Sure, this {x}:"),
    ZH: ("这段代码可以{x}：", "好的，代码如下：", "下面的 Python 代码{x}："),
}


def snippets() -> list[tuple[str, str, str]]:
    """Return (what in English, what in Chinese, code); a headline is the only line with a bar."""
    found: list[tuple[str, str, list[str]]] = []
    for line in SNIPPETS.strip().splitlines():
        if " | " in line:
            english, chinese = line.split(" | ")
            found.append((english, chinese, []))
        else:
            found[-1][2].append(line)
    return [(english, chinese, "\n".join(lines).strip()) for english, chinese, lines in found]


ALL = snippets()


def make(rng: Random, language: str) -> Document:
    english, chinese, code = rng.choice(ALL)
    what = english if language == EN else chinese
    question = dress(rng, rng.choice(ASK[language]).replace("{x}", what), language)
    if language == EN and rng.random() < 0.4:  # "to add" instead of "that adds"
        first, _, rest = what.partition(" ")
        stem = {"checks": "check", "finds": "find", "computes": "compute"}.get(
            first, first[:-2] if first.endswith("ches") else first[:-1]
        )
        stem = "reverse" if first == "reverses" else stem
        question = mistype(rng, dress(rng, f"{rng.choice(ASK_TO)} to {stem} {rest}", language), language)
    name = re.search(r"def (\w+)", code)
    if name and rng.random() < 0.35:
        named = rng.choice(ASK_NAMED[language]).replace("{d}", name[1].replace("_", rng.choice("_ ")))
        question = dress(rng, named, language)
    say = rng.choice(SAY[language]).replace("{x}", what)
    return chat(("user", question), ("assistant", f"{say}\n\n```python\n{code}\n```"))
