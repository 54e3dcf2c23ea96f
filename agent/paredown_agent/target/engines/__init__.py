"""What runs containers on this host: one small module each behind ``base.Engine``."""
