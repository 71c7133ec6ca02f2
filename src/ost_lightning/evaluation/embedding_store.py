"""The view of the embedding cache that one evaluation uses, with the fingerprints of the weights that it scores."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from ost_lightning.evaluation.embedding_cache import EmbeddingCache


class EmbeddingStore:
    """Reads and stores the frame embeddings of clips for all sets of weights that an evaluation scores.

    Loaders and the evaluation share one store. It is opened when the weights are known, after the loaders are created
    and before their first batch. Until then it finds nothing and stores nothing.

    Args:
        cache: Disk cache of embeddings.
    """

    def __init__(self, cache: EmbeddingCache) -> None:
        self.cache = cache
        self._fingerprints: dict[str, str] = {}

    def open(self, fingerprints: Mapping[str, str]) -> None:
        """Sets the weights whose embeddings are read and stored.

        Args:
            fingerprints: Fingerprint of each set of weights, by its name.
        """
        self._fingerprints = dict(fingerprints)

    def load(self, key: str) -> dict[str, Tensor] | None:
        """Loads the embeddings of one clip for all sets of weights.

        Args:
            key: Key of the clip.

        Returns:
            Embeddings (V, T, d) by the name of the set of weights; None unless all sets are cached.
        """
        found: dict[str, Tensor] = {}
        for weights, fingerprint in self._fingerprints.items():
            embedded = self.cache.load(fingerprint, key)
            if embedded is None:
                return None
            found[weights] = embedded
        return found or None

    def save(self, weights: str, keys: Sequence[str], embedded: Tensor) -> None:
        """Stores embeddings that have just been computed.

        Args:
            weights: Name of the set of weights.
            keys: Keys of the clips; clips with an empty key are not stored.
            embedded: Embeddings of the clips, (B, V, T, d).
        """
        if weights not in self._fingerprints:
            return
        for key, clip in zip(keys, embedded.cpu(), strict=True):
            if key:  # remote files have no key, because they could change unnoticed
                self.cache.store(self._fingerprints[weights], key, clip)
