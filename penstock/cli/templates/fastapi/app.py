from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Question(BaseModel):
    text: str


@app.get("/")
def about():
    return {"hello": "world"}


@app.post("/ask")
def ask(question: Question):
    return {"words": len(question.text.split())}
