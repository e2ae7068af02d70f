"""The native interface as OpenAPI 3.1: generated from the models, the error tree and the route table.

`bodies` has the JSON of requests and answers, `operations` says what each route does, `document` puts it together.
Tests hold the three against the routes, the views and a real gateway.
"""
