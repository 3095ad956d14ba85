// A class with a virtual base: while its other base is constructed, an object has a table made for that.
#pragma once

namespace corpus {

class Ground {
public:
    virtual long height() const;
    virtual long width() const;

protected:
    Ground() = default;
    ~Ground() = default;
    long level_ = 2;
};

class Wall : public virtual Ground {
public:
    Wall();
    long height() const override;
    long seen_while_built() const { return seen_; }

protected:
    ~Wall() = default;

private:
    long seen_ = 0;
};

class House final : public Wall {
public:
    long height() const override;
    long width() const override;
};

// Constructs one.
long width_of_wall();
long width_of_house();

}  // namespace corpus
