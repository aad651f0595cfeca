"""What is known of each instance's game, and how it is kept fresh at a pace the game server can bear.

`table` (the rules), `state` (what is known) and `refreshes` (what to ask for next) are pure; `keeper`
stores what is known in Redis.
"""
