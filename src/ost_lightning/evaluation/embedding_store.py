"""The embedding cache as one evaluation uses it: with the fingerprints of the weights that it scores."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from ost_lightning.evaluation.embedding_cache import EmbeddingCache


class EmbeddingStore:
    """Reads and stores the frame embeddings of clips by all sets of weights that an evaluation scores.

    Loaders and the evaluation share one. It is opened when the weights are known, which is after the loaders were made
    and before their first batch; a store that is not open knows nothing and keeps nothing.

    Args:
        cache: Embeddings on disk.
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
        """Embeddings of one clip by all sets of weights.

        Args:
            key: Key of the clip.

        Returns:
            (V, T, d) by the name of the weights; None unless those of all of them are known.
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
            keys: Keys of the clips; an empty one is not stored.
            embedded: (B, V, T, d) of these clips.
        """
        if weights not in self._fingerprints:
            return
        for key, clip in zip(keys, embedded.cpu(), strict=True):
            if key:  # files elsewhere have none: they could change unnoticed
                self.cache.store(self._fingerprints[weights], key, clip)
