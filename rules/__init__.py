"""What clipcheck knows: a knowledge file per framework and a page per rule."""
