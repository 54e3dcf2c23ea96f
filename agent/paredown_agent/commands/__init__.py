"""The subcommands of ``paredown-agent``: one small module each."""
