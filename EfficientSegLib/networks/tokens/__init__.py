"""Parts of the networks that compute on tokens: a vision transformer, the choice of tokens, their completion."""
