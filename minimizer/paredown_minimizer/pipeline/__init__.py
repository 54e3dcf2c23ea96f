"""What `paredown harden` and `paredown status` do: the steps in their order, and what changed."""
