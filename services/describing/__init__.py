"""The interfaces as documents: AsyncAPI of the topics, made from the types that the code itself reads and writes."""
