"""Files of the project folder that asmnet-kit new writes; @words@ in them are filled in."""
