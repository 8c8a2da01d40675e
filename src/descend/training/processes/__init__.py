"""Several processes that train one model: who they are, what they send each other, who watches."""
